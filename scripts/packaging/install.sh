#!/bin/sh
# install.sh : installs, upgrades or removes provision from the release's archive. Download it, read it, run it as root.
#
# It takes SHA256SUMS and its signature, checks that with the key that is pinned below, then the archive, and checks that with its
# sum. Nothing outside of a temporary folder is touched before all of it is right.
#
# scripts/package fills in what stands between # signs. The version is pinned as well, so nobody can pass off an older release.
set -eu

version='#VERSION#'
from='#URL#'
key_pem='#PEM#' # Ed25519, SubjectPublicKeyInfo (RFC 8410 section 4), base64
key_ssh='#SSH#' # the same key as OpenSSH writes it (RFC 8709 section 4), base64

usage() {
	cat <<END
install.sh [--from URL|FOLDER] [--root FOLDER] [--arch amd64|arm64|armv7|armv6] [--without-signature]
install.sh --uninstall [--purge] [--root FOLDER]

Installs provision $version to /usr/local/bin, with its units; over an older one it is an upgrade.

  --from               where SHA256SUMS, its signature and the archive are${from:+ (default $from)}
  --root               install into a mounted image, not into this machine
  --arch               for an image of another machine
  --without-signature  where neither ssh-keygen nor openssl can check it: trust the server, check sums only
  --uninstall          go back to the network as it was before, and remove program and units
  --purge              and configuration, keys and state
END
}

die() {
	echo "install.sh: $*" >&2
	exit 1
}

#TAKEBACK#

# fetch NAME : NAME of the release into the temporary folder, at most 100 MB.
fetch() {
	case $from in
	http://* | https://*) ;;
	*)
		cp "$from/$1" "$tmp/$1" || die "$from/$1 cannot be read; --from wants the folder or URL of release $version"
		return
		;;
	esac
	if command -v curl >/dev/null; then
		(
			ulimit -f 200000
			curl -fsSL --connect-timeout 20 --max-time 900 -o "$tmp/$1" "$from/$1"
		) || die "$from/$1 was not loaded whole; is that the address of release $version, and is the network up? Nothing was changed"
	elif command -v wget >/dev/null; then
		# GNU's tries 20 times unless told. BusyBox's tries once, gives up after 15 minutes of silence, and 1.35 dies of -T.
		limits=
		if wget --version 2>/dev/null | grep -q GNU; then limits='--tries=2 --timeout=60'; fi
		(
			ulimit -f 200000
			wget -q $limits -O "$tmp/$1" "$from/$1"
		) || die "$from/$1 was not loaded whole; is that the address of release $version, and is the network up? Nothing was changed"
	else
		die "there is neither curl nor wget here: load SHA256SUMS, SHA256SUMS.sig, SHA256SUMS.sshsig and $archive elsewhere and give their folder with --from"
	fi
}

# verified : the signature of SHA256SUMS is by the pinned key. With --without-signature it may go unchecked, but never be wrong.
verified() {
	[ -n "$key_pem" ] || {
		[ -n "$unsigned" ] || die "this release is not signed; --without-signature takes it all the same"
		echo "install.sh: this release is not signed: only sums are checked" >&2
		return 0
	}
	wrong="the signature of SHA256SUMS is wrong: somebody has changed it on its way, or it is of another release. Nothing was changed"
	# OpenSSH before 8.1 has no -Y and says so in other words.
	if command -v ssh-keygen >/dev/null && ssh-keygen -Y verify 2>&1 </dev/null | grep -q 'Too few arguments'; then
		fetch SHA256SUMS.sshsig
		echo "release namespaces=\"provision\" ssh-ed25519 $key_ssh" >"$tmp/signers"
		ssh-keygen -Y verify -f "$tmp/signers" -I release -n provision -s "$tmp/SHA256SUMS.sshsig" <"$tmp/SHA256SUMS" >/dev/null 2>&1 || die "$wrong"
	# OpenSSL before 3.0 cannot verify Ed25519 from the command line.
	elif command -v openssl >/dev/null && openssl pkeyutl -help 2>&1 | grep -q -e -rawin; then
		fetch SHA256SUMS.sig
		printf -- '-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n' "$key_pem" >"$tmp/key"
		openssl pkeyutl -verify -pubin -inkey "$tmp/key" -rawin -in "$tmp/SHA256SUMS" -sigfile "$tmp/SHA256SUMS.sig" >/dev/null 2>&1 || die "$wrong"
	elif [ -n "$unsigned" ]; then
		echo "install.sh: nothing here can check signatures: only sums are checked" >&2
	else
		die "neither ssh-keygen (OpenSSH 8.1 or later) nor openssl (3.0 or later) is here to check the signature: install one, or give --without-signature"
	fi
}

# summed : the archive has the sum that SHA256SUMS says.
summed() {
	want=
	while read -r sum file; do
		if [ "${file#\*}" = "$archive" ]; then want=$sum; fi
	done <"$tmp/SHA256SUMS"
	[ -n "$want" ] || die "SHA256SUMS does not name $archive: it is of another release than this script's, $version"
	got=$(sha256sum <"$tmp/$archive")
	[ "${got%% *}" = "$want" ] || die "$archive is not what SHA256SUMS says: it was changed or cut on its way. Nothing was changed"
}

machine() {
	[ "$(uname -s)" = Linux ] || die "this is for Linux; for $(uname -s) take the archive with that name from the release, it holds the program alone"
	case $(uname -m) in
	x86_64) echo amd64 ;;
	aarch64) echo arm64 ;;
	armv7* | armv8l) echo armv7 ;;
	armv6*) echo armv6 ;;
	*) die "no program is made for $(uname -m)" ;;
	esac
}

systemd() { [ -e "$root/usr/lib/systemd/systemd" ] || [ -e "$root/lib/systemd/systemd" ]; }
openrc() { [ -e "$root/sbin/openrc-run" ] || [ -e "$root/usr/sbin/openrc-run" ]; }

# list : what is installed: mode, path in the archive, path in the root.
list() {
	echo "755 provision usr/local/bin/provision"
	[ -e "$root/etc/provision/provision.yaml" ] || echo "644 provision.yaml etc/provision/provision.yaml"
	if systemd; then
		for f in "$tmp/$name"/systemd/*.service; do echo "644 systemd/${f##*/} etc/systemd/system/${f##*/}"; done
	elif openrc; then
		for f in "$tmp/$name"/openrc/*; do echo "755 openrc/${f##*/} etc/init.d/${f##*/}"; done
	fi
}

put() {
	list >"$tmp/list"
	staged=1
	while read -r mode file to; do
		mkdir -p "$root/$(dirname "$to")"
		cp "$tmp/$name/$file" "$root/$to.new"
		chmod "$mode" "$root/$to.new"
	done <"$tmp/list"
	if [ -z "$arch" ]; then
		"$root/usr/local/bin/provision.new" version >/dev/null || die "the program does not run on this machine ($(uname -m)). Nothing was changed"
	fi
	sync
	# From here on only renames: whoever looks, and whatever a power cut leaves, is an old file or a new one.
	while read -r mode file to; do mv -f "$root/$to.new" "$root/$to"; done <"$tmp/list"
	staged=
	sync
}

clean() {
	if [ -n "$staged" ]; then
		while read -r mode file to; do rm -f "$root/$to.new"; done <"$tmp/list"
	fi
	rm -rf "$tmp"
}

# enable : both boot units, at the first installation only; nothing is started. What runs is started again at an upgrade.
enable() {
	if systemd; then
		if [ -z "$upgrade" ]; then
			systemctl ${root:+"--root=$root"} enable provision-early.service provision.service >/dev/null 2>&1 ||
				echo "install.sh: enable the units yourself: systemctl enable provision-early.service provision.service" >&2
		fi
		if [ -z "$root" ] && [ -d /run/systemd/system ]; then
			systemctl daemon-reload || :
			if [ -n "$upgrade" ]; then
				systemctl try-restart provision-serve.service provision-watch.service provision-gadget.service >/dev/null 2>&1 || :
			fi
		fi
	elif openrc; then
		if [ -z "$upgrade" ]; then
			# What `rc-update add` does; that of another machine's image may not run here.
			level=boot # or where the network is brought up earlier: Devuan
			if [ -e "$root/etc/runlevels/sysinit/networking" ]; then level=sysinit; fi
			mkdir -p "$root/etc/runlevels/$level" "$root/etc/runlevels/default"
			ln -sf /etc/init.d/provision-early "$root/etc/runlevels/$level/provision-early"
			ln -sf /etc/init.d/provision "$root/etc/runlevels/default/provision"
		elif [ -z "$root" ]; then
			rc-service -q --ifstarted provision-serve restart || :
			rc-service -q --ifstarted provision-watch restart || :
		fi
	else
		echo "install.sh: nothing here starts provision at boot by itself: have 'provision apply' run then" >&2
	fi
}

install() {
	archive=provision-$version-linux-${arch:-$(machine)}.tar.gz
	name=${archive%.tar.gz}
	[ ! -e "$root/usr/bin/provision" ] || die "a package has installed /usr/bin/provision: upgrade that one, or remove it first"
	[ -n "$from" ] || die "say with --from where release $version is, a URL or a folder"
	upgrade=
	if [ -e "$root/usr/local/bin/provision" ]; then upgrade=1; fi
	tmp=$(mktemp -d)
	staged=
	trap clean EXIT
	trap 'exit 1' HUP INT TERM
	fetch SHA256SUMS
	verified
	fetch "$archive"
	summed
	tar -xzf "$tmp/$archive" -C "$tmp" || die "$archive cannot be unpacked. Nothing was changed"
	put
	enable
	if [ -n "$upgrade" ]; then
		echo "provision is now $version"
	else
		echo "provision $version is installed; nothing was started: say what you want in /etc/provision/provision.yaml, then 'provision apply'"
	fi
}

uninstall() {
	[ -e "$root/usr/local/bin/provision" ] || [ -n "$purge" ] || die "there is no $root/usr/local/bin/provision"
	status=0
	if [ -z "$root" ] && [ -e /usr/local/bin/provision ]; then take_back >&2; fi
	# What is needed to go back is not thrown away when that has failed; 2 says that only what others have changed is left.
	case $status in 0 | 2) ;; *) purge= ;; esac
	# Those that came with the archive, and those that an apply has written for the program that goes.
	for file in "$root"/etc/systemd/system/provision*.service "$root"/etc/init.d/provision*; do
		grep -qs /usr/local/bin/provision "$file" || continue
		unit=${file##*/}
		if [ -z "$root" ]; then
			if systemd && [ -d /run/systemd/system ]; then systemctl stop "$unit" >/dev/null 2>&1 || :; fi
			if openrc; then
				rc-service -q --ifstarted "$unit" stop || :
				rc-update -q -a del "$unit" >/dev/null 2>&1 || : # it names each level that has it not
			fi
		fi
		rm -f "$file" "$root"/etc/systemd/system/*.wants/"$unit" "$root"/etc/runlevels/*/"$unit"
	done
	rm -f "$root/usr/local/bin/provision"
	if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
	if [ -n "$purge" ]; then
		rm -rf "$root/etc/provision" "$root/var/lib/provision" "$root/run/provision"
		echo "provision is removed, with its configuration, keys and state"
	else
		echo "provision is removed; /etc/provision and /var/lib/provision are left ('install.sh --uninstall --purge' removes them, too)"
	fi
}

# All of it is read before any of it runs: a script that was cut on its way does nothing.
main() {
	root='' arch='' unsigned='' purge='' what=install
	umask 022
	while [ $# -gt 0 ]; do
		case $1 in
		--from | --root | --arch)
			[ $# -gt 1 ] && [ -n "$2" ] || {
				usage >&2
				exit 64
			}
			case $1 in
			--from) from=${2%/} ;;
			--root) root=$(cd "$2" && pwd -P) || die "there is no folder $2" ;;
			--arch) arch=$2 ;;
			esac
			shift
			;;
		--without-signature) unsigned=1 ;;
		--uninstall) what=uninstall ;;
		--purge) purge=1 ;;
		-h | --help)
			usage
			exit
			;;
		*)
			usage >&2
			exit 64
			;;
		esac
		shift
	done
	if [ "$root" = / ]; then root=; fi
	[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "this writes to /usr/local/bin and /etc: run it as root (sudo sh install.sh)"
	$what
}

main "$@"
