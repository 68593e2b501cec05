# The program goes, and with it whoever could keep, repair or take back what it has made of this network: so it goes back to what
# was there before. This is for a running machine; an image that is being built is its builder's. --force is not given: what
# somebody else has changed since is theirs.
take_back() {
	[ -d /var/lib/provision/engine ] || return 0
	if [ ! -d /run/systemd/system ] && [ ! -d /run/openrc ]; then
		echo "provision: this system is not running, so what provision wrote stays; 'provision revert' takes it back"
		return 0
	fi
	echo "provision: going back to the network as it was before provision came"
	said=$(timeout 150 /usr/bin/provision revert 2>&1) && return 0
	status=$?
	echo "$said" | sed 's/^/  /'
	case $status in
	2) echo "provision: what is named above was changed by somebody else and is left as it is" ;;
	*) echo "provision: it could not go back (status $status): /var/lib/provision is kept; install the package again and run 'provision revert'" ;;
	esac
}
