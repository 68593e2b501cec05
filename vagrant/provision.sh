#!/bin/sh
[ -n "${PROVISION_LF-}" ] || { PROVISION_LF=1; export PROVISION_LF; tr -d '\r' < "$0" | sh -s -- "$@"; exit; } #
# provision.sh FOLDER [ARGUMENT...] : in a guest, as root: installs the program for this machine's architecture out of FOLDER, with
# FOLDER/provision.yaml where there is one, and runs `provision apply ARGUMENT...`. FOLDER is what was uploaded; it is removed.
#
# It asks for nothing but a POSIX sh with the usual tools, so that any box will do, and fetches nothing. The line above makes it
# indifferent to the line ends of a checkout on Windows: everything after it is read again without carriage returns.

main() {
	[ $# -ge 1 ] || die "give the folder with provision-linux-ARCH that was uploaded"
	folder=$1
	shift
	[ "$(id -u)" = 0 ] || die "this must run as root: leave privileged as it is (true) in the Vagrantfile"
	[ "$(uname -s)" = Linux ] || die "this guest runs $(uname -s), and provision is for Linux guests"
	arch=$(architecture "$(uname -m)")
	program=/usr/local/bin/provision
	new=$folder/provision-linux-$arch
	if [ -f "$new" ]; then
		install_program
	elif [ -x "$program" ]; then
		say "no provision-linux-$arch was uploaded: the program that is here is used"
	else
		die "no provision-linux-$arch was uploaded, and this guest ($(uname -m)) needs it: put it beside the Vagrantfile"
	fi
	install_config
	# An upload of a folder's name could be anybody's: only plain files of these names are taken away.
	rm -f "$folder"/provision-linux-* "$folder/provision.yaml" "$folder/provision.sh"
	rmdir "$folder" 2>/dev/null
	status=0
	"$program" apply --color never "$@" || status=$?
	[ "$status" = 0 ] || say "provision apply ended with status $status; what it had begun was gone back on unless it says otherwise"
	return "$status"
}

say() { echo "provision: $*"; }

die() {
	say "$*" >&2
	exit 1
}

# architecture MACHINE : as the programs are named (Go's names), from what uname -m says. armv7l and armv8l (a 32-bit system on a
# 64-bit processor) run what is made for ARMv6.
architecture() {
	case $1 in
	x86_64 | amd64) echo amd64 ;;
	aarch64 | arm64) echo arm64 ;;
	armv6* | armv7* | armv8l) echo armv6 ;;
	i?86) echo 386 ;;
	*) echo "$1" ;;
	esac
}

# install_program puts it there in one step, so that whoever runs it meanwhile has the old or the new one, and only if it runs here.
install_program() {
	if [ -f "$program" ] && cmp -s "$new" "$program"; then
		return
	fi
	mkdir -p /usr/local/bin
	cp "$new" "$program.new" && chmod 755 "$program.new" && chown 0:0 "$program.new" || die "cannot write $program.new"
	if ! version=$("$program.new" version 2>&1); then
		rm -f "$program.new"
		die "the uploaded program does not run here: $version"
	fi
	mv -f "$program.new" "$program" || die "cannot write $program"
	say "installed $program ($(echo "$version" | head -n 1))"
}

# install_config takes an uploaded configuration if it is a good one; without one, what is in the guest stays.
install_config() {
	[ -f "$folder/provision.yaml" ] || return 0
	config=/etc/provision/provision.yaml
	if [ -f "$config" ] && cmp -s "$folder/provision.yaml" "$config"; then
		return 0
	fi
	mkdir -p /etc/provision && chown 0:0 /etc/provision && chmod go-w /etc/provision || die "cannot make /etc/provision"
	(umask 077 && cp "$folder/provision.yaml" "$config.new") && chown 0:0 "$config.new" || die "cannot write $config.new"
	if ! "$program" validate "$config.new"; then
		rm -f "$config.new"
		die "the configuration is refused, nothing was changed"
	fi
	mv -f "$config.new" "$config" || die "cannot write $config"
	say "installed $config"
}

main "$@" </dev/null
