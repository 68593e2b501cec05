# Run by cloud-init, once for each instance. Gets provision, has it make the network right, and says how that went in
# /var/lib/provision/cloud-init.json and by its status, which `cloud-init status --long` shows.
# Arguments: url, file or image; the URL or path; its SHA-256, which only a file may lack.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
export PATH DEBIAN_FRONTEND NEEDRESTART_SUSPEND
way=$1 from=$2 sum=$3 file=$2 step=begin begin=$(date +%s)
kept=/var/lib/provision work=/var/cache/provision-cloud-init
umask 022
mkdir -p $work
[ -d $kept ] || mkdir -p -m 700 $kept
rm -f $kept/cloud-init.json

end() {
	trap '' TERM
	ok=false
	if [ "$1" = 0 ]; then
		ok=true
		echo "provision: the network is what it should be"
	else
		echo "provision: '$step' failed with status $1: the lines above say why, and 'provision apply' tries again" >&2
	fi
	printf '{"schema":1,"ok":%s,"step":"%s","status":%d,"seconds":%d}\n' $ok $step "$1" $(($(date +%s) - begin)) > $work/result
	mv $work/result $kept/cloud-init.json
	rm -rf $work
	exit "$1"
}
trap 'echo "provision: the time is over" >&2; end 124' TERM # from timeout

get() {
	curl -fsSL --connect-timeout 10 -o "$file" "$from" || wget -q -T 10 -O "$file" "$from" ||
		python3 -c 'import shutil, sys, urllib.request as u; shutil.copyfileobj(u.urlopen(sys.argv[1], timeout=10), open(sys.argv[2], "wb"))' "$from" "$file"
}

if [ "$way" != image ]; then
	step=find
	[ "$way" = url ] || [ -f "$file" ] || { echo "provision: there is no $file" >&2; end 1; }
	[ -n "$sum" ] || sum=$(sha256sum < "$file" | cut -c 1-64)
	# A new instance of a disk that has it already.
	if [ "$sum" != "$(cat $kept/cloud-init.sum 2> /dev/null)" ] || ! command -v provision > /dev/null; then
		if [ "$way" = url ]; then
			step=fetch file=${from%%[?#]*} tries=1
			file=$work/${file##*/} # its end tells a package from a program
			# A first boot's network may need its time.
			until get 2> $work/why; do
				[ $tries -lt 5 ] || { cat $work/why >&2; end 1; }
				tries=$((tries + 1))
				sleep 3
			done
		fi
		step=check
		is=$(sha256sum < "$file" | cut -c 1-64)
		[ "$is" = "$sum" ] || { echo "provision: $from has the SHA-256 '$is' and not $sum" >&2; end 1; }
		step=install
		case $file in
		*.deb) apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold --allow-downgrades install -y "$file" ;;
		*.rpm) rpm -U --replacepkgs --oldpackage "$file" ;;
		*.apk) apk add --allow-untrusted "$file" ;;
		*)
			install -D -m 755 "$file" /usr/local/bin/provision || end $?
			[ ! -d /run/systemd/system ] || {
				provision hook systemd > /etc/systemd/system/provision-recover.service && systemctl enable provision-recover.service
			}
			;;
		esac || end $?
		echo "$sum" > $kept/cloud-init.sum
	fi
fi
step=apply
provision apply || end $?
end 0
