# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The one list of Debian packages, by what they are for; ./check, ./demo and
# bench/run read it:
#
#	. scripts/deps.sh
#	deps_install build demo
#
# With nothing missing it says nothing and needs no rights. Else it says what
# it is going to install, and does so as root or by sudo; where neither is
# possible it prints the exact command and fails.

# shellcheck disable=SC2034 # read by name
{
deps_build=(gcc libc6-dev linux-libc-dev libcrypt-dev binutils make pkg-config
	libhttp-parser-dev liburing-dev libssl-dev)
deps_test=(clang clang-14 libclang-rt-14-dev libfuzzer-14-dev clang-format-14
	gcc-arm-none-eabi mandoc tshark git perl-base procps iproute2
	iputils-ping ethtool curl wget lftp tnftp atftp tftp-hpa python3
	ca-certificates dnsmasq-base)
deps_demo=(iproute2 curl procps python3 util-linux)
deps_bench=(iproute2 ethtool procps curl wrk nginx vsftpd liblwip-dev
	gnuplot-nox python3 socat haproxy)
}

# Installed, under this name.
deps_is_there()
{
	local status
	status=$(dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null)
	[[ $status = *installed* && $status != *not-installed* ]]
}

# deps_missing GROUP...: prints what is not installed, a name per line.
deps_missing()
{
	local group package
	for group; do
		local -n packages=deps_$group
		for package in "${packages[@]}"; do
			deps_is_there "$package" || echo "$package"
		done
	done | sort -u
}

# deps_install GROUP...
deps_install()
{
	local missing as_root=() install
	command -v dpkg-query >/dev/null || {
		echo 'This is not Debian; what is needed, by its names there:'
		deps_missing "$@" | tr '\n' ' '
		echo
		return 0
	}
	mapfile -t missing < <(deps_missing "$@")
	((${#missing[@]})) || return 0

	install=(apt-get install -y --no-install-recommends "${missing[@]}")
	if ((EUID != 0)); then
		if ! command -v sudo >/dev/null; then
			echo 'Some packages are missing. As root, please run:'
			echo "    apt-get update && ${install[*]}"
			return 1
		fi
		as_root=(sudo)
	fi
	echo "Going to install from Debian: ${missing[*]}"
	"${as_root[@]}" apt-get update -qq &&
		"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
			"${install[@]}" >/dev/null || {
		echo 'That did not work. Please run, as root, and look why:'
		echo "    apt-get update && ${install[*]}"
		return 1
	}
}
