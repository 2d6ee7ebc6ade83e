/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tow_dev_open(): from a text to a device.
 *
 * Theory of operation: the text is read from the left. A driver reads its
 * options and opens itself. A wrapper reads its options, then has the rest of
 * the text opened by dev_open_next(), which comes back here: the recursion is
 * as deep as the text has wrappers. tow_dev_wrap() is the same with a device
 * that exists already standing where the text ends.
 */
#include <string.h>
#include "base/base.h"
#include "dev/drivers.h"

/* So that a hostile text cannot exhaust the C stack. */
#define WRAPPERS_MAX 16

struct driver {
	const char *name;
	int (*open)(struct tow_dev **out, struct spec *spec);
};

static const struct driver drivers[] = {
	{ "tap", tap_open },   { "shm", shm_open_spec }, { "pcap", pcap_open },
	{ "vlan", vlan_open }, { "fault", fault_open },
};

static int unknown_driver(struct spec *spec)
{
	size_t n = strcspn(spec->at, ":");
	const char *nearest = spec_nearest(spec->at, n, &drivers->name,
					   LENGTH(drivers), sizeof(*drivers));

	if (!n)
		return spec_fail_at(spec, spec->at,
				    "the name of a device is missing here: "
				    "tap, shm:path=F, pcap:file=F:DEVICE, "
				    "vlan:id=N:DEVICE or fault:OPTIONS:DEVICE");
	if (nearest)
		return spec_fail_at(spec, spec->at,
				    "there is no device \"%.*s\"; did you mean "
				    "\"%s\"?",
				    (int)n, spec->at, nearest);
	return spec_fail_at(spec, spec->at,
			    "there is no device \"%.*s\"; there are tap, shm, "
			    "pcap, vlan and fault",
			    (int)n, spec->at);
}

int dev_open_next(struct tow_dev **out, struct spec *spec)
{
	if (spec->inside && !*spec->at) {
		*out = spec->inside;
		spec->inside = NULL;
		return 0;
	}
	if (spec->depth++ == WRAPPERS_MAX)
		return spec_fail_at(spec, spec->at, "too many wrappers");
	for (size_t i = 0; i < LENGTH(drivers); i++)
		if (spec_take_name(spec, drivers[i].name))
			return drivers[i].open(out, spec);
	return unknown_driver(spec);
}

int tow_dev_open(struct tow_dev **out, const char *text, char *error,
		 size_t error_bytes)
{
	struct spec spec = { .text = text,
			     .at = text,
			     .error = error,
			     .error_bytes = error_bytes };

	if (error_bytes)
		*error = '\0';
	return dev_open_next(out, &spec);
}

int tow_dev_wrap(struct tow_dev **out, struct tow_dev *inside, const char *text,
		 char *error, size_t error_bytes)
{
	struct spec spec = { .text = text,
			     .at = text,
			     .inside = inside,
			     .error = error,
			     .error_bytes = error_bytes };

	int failed;

	if (error_bytes)
		*error = '\0';
	failed = dev_open_next(out, &spec);
	if (failed && spec.inside)
		spec.inside->ops->close(spec.inside);
	return failed;
}

const char *tow_dev_interface(struct tow_dev *dev)
{
	return dev->ops->interface ? dev->ops->interface(dev) : NULL;
}
