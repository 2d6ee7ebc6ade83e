/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DRIVERS_H
#define DRIVERS_H

/*
 * The drivers and wrappers that tow_dev_open() knows.
 */
#include <tow/dev.h>
#include <tow/error.h>
#include "dev/spec.h"

/*
 * Open from the options at the spec's head; on failure the message is made. A
 * wrapper then opens what the rest of the text names, by dev_open_next().
 */
int tap_open(struct tow_dev **out, struct spec *spec);
int pcap_open(struct tow_dev **out, struct spec *spec);
int shm_open_spec(struct tow_dev **out, struct spec *spec);
int vlan_open(struct tow_dev **out, struct spec *spec);
int fault_open(struct tow_dev **out, struct spec *spec);

/* The device that the spec's rest stands for: opened, or the one inside. */
int dev_open_next(struct tow_dev **out, struct spec *spec);

#endif
