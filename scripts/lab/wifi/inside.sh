# inside.sh : run in the guest. Each check prints "ok NAME" or "FAIL NAME"; what it says before belongs to it.
begun() { echo "--- $1 (up $(cut -d' ' -f1 /proc/uptime) s)"; name=$1; }
ok() { echo "ok $name"; }
fail() { echo "FAIL $name: $*"; }
await() { local n=$1; shift; until "$@" > /dev/null 2>&1; do n=$((n-1)); [ $n -gt 0 ] || return 1; sleep 0.2; done; }
wants() { # wants STATUS TEXT COMMAND... : status and a piece of what it says
  local status=$1 text=$2 said rc; shift 2
  said=$("$@" 2>&1); rc=$?; echo "$said"
  [ $rc = "$status" ] || { fail "status $rc, want $status"; return 1; }
  case $said in *"$text"*) return 0;; esac
  fail "it does not say: $text"; return 1
}
conf=/etc/wpa_supplicant/wpa_supplicant.conf
in_ap() { nsenter -n -t "$ap" "$@"; }
ap() { # ap CONFIG : the access point, anew
  [ ! -s /tmp/hostapd.pid ] || { kill "$(cat /tmp/hostapd.pid)"; await 50 sh -c '! [ -e /tmp/hostapd.pid ]'; }
  printf 'interface=wlan1\ndriver=nl80211\nhw_mode=g\nchannel=1\nctrl_interface=/run/hostapd\n%s\n' "$1" > /tmp/hostapd.conf
  in_ap hostapd -B -P /tmp/hostapd.pid /tmp/hostapd.conf
}

begun bed
modprobe mac80211_hwsim radios=2
await 50 test -e /sys/class/net/wlan1 || { fail "no radios"; exit 1; }
unshare -n sleep 100000 & ap=$!
await 50 sh -c "[ \"\$(readlink /proc/$ap/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]"
iw phy "$(cat /sys/class/net/wlan1/phy80211/name)" set netns "$ap" || { fail "the radio does not move"; exit 1; }
in_ap ip link set lo up; in_ap ip addr add 10.9.0.1/24 dev wlan1
# The name is no UTF-8.
ap "$(printf 'ssid2=486f6d6520ff\nwpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_passphrase=correct horse 1')"
in_ap dnsmasq -C /dev/null --interface=wlan1 --bind-dynamic --dhcp-range=10.9.0.10,10.9.0.99,2m --port=0 --pid-file=/tmp/dnsmasq.pid
printf 'ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev\nupdate_config=1\nnetwork={\n\tssid="theirs"\n\tpsk="something else"\n}\n' > $conf
chmod 600 $conf; cp $conf /tmp/before.conf
wpa_supplicant -B -Dnl80211 -iwlan0 -c$conf || { fail "no wpa_supplicant"; exit 1; }
dhcpcd -b --nodev wlan0 2>/dev/null || dhcpcd -b --nodev
await 50 test -S /run/wpa_supplicant/wlan0 && ok || fail "no control socket"

begun wrong-passphrase
echo "wrong horse 22" | wants 2 "passphrase is most likely wrong" provision wifi add --hex 486f6d6520ff --wait 25s && ok

begun right-passphrase
if echo "correct horse 1" | wants 0 "wlan0 has joined" provision wifi add --hex 486f6d6520ff --country DE; then
  file=$(echo /etc/provision/wifi.d/*.yaml); cat "$file"; ls -l "$file" $conf
  if grep -rq "correct horse" /etc/provision /etc/wpa_supplicant /var/lib/provision; then fail "the passphrase is in a file"
  elif [ "$(stat -c %a "$file") $(stat -c %a /etc/provision/wifi.d)" != "600 700" ]; then fail "modes"
  elif ! await 100 sh -c 'ip -4 addr show dev wlan0 | grep -q "inet 10.9.0"'; then ip addr; fail "no lease"
  else ok; fi
fi

begun nothing-twice
before=$(wpa_cli -i wlan0 status | grep -E '^(uuid|bssid|wpa_state)'; iw dev wlan0 link)
echo "correct horse 1" | wants 0 "nothing to change" provision wifi add --hex 486f6d6520ff --country DE && {
  [ "$(iw dev wlan0 link | head -1)" != "Not connected." ] && ok || fail "the network was lost"; }

begun list
wants 0 '"joined": true' provision wifi list -o json && wants 0 'wlan0 is in "0x486f6d6520ff"' provision wifi list && ok

begun plan-is-empty
wants 0 "" provision verify; provision plan --exit-code | grep -i wpa; wants 0 "" provision plan --exit-code && ok

begun stays-where-it-is
echo "another horse" | wants 0 "stays in" provision wifi add Nowhere --country DE && ok

begun facts-tell-no-secret
provision facts > /tmp/facts; key=$(sed -n 's/^psk: "\(.*\)"/\1/p' /etc/provision/wifi.d/Home*.yaml /etc/provision/wifi.d/*.yaml | head -1)
[ -n "$key" ] && ! grep -q "$key" /tmp/facts && ok || fail "the key is told"

begun remove
wants 0 "forgotten" provision wifi remove --hex 486f6d6520ff && await 100 sh -c 'iw dev wlan0 link | grep -q "Not connected"' && ok || fail "still connected"

begun nobody-of-that-name
echo "another horse 3" | wants 2 "no access point called" provision wifi add Nowhere --country DE --wait 8s && ok

begun switched-off
for r in /sys/class/rfkill/rfkill*; do [ ! -e "$r/soft" ] || echo 1 > "$r/soft"; done
echo "another horse 3" | wants 69 "rfkill unblock wifi" provision wifi add Third && [ ! -e /etc/provision/wifi.d/Third.yaml ] && ok
for r in /sys/class/rfkill/rfkill*; do [ ! -e "$r/soft" ] || echo 0 > "$r/soft"; done

begun wpa3
in_ap ip link set wlan1 up
ap "$(printf 'ssid=Modern\nwpa=2\nwpa_key_mgmt=SAE\nrsn_pairwise=CCMP\nieee80211w=2\nsae_password=quoted "horse" # 3')"
in_ap ip addr add 10.9.0.1/24 dev wlan1 2>/dev/null
ip link set wlan0 up
await 100 sh -c 'wpa_cli -i wlan0 scan; iw dev wlan0 scan dump | grep -q "SSID: Modern"'
echo 'quoted "horse" # 3' | wants 0 "wlan0 has joined" provision wifi add Modern --country DE && { grep -q "security: sae" /etc/provision/wifi.d/Modern.yaml && ok || fail "not by WPA3"; }

begun open-network
ap "$(printf 'ssid=Cafe')"
wants 0 "wlan0 has joined" provision wifi add Cafe --open --country DE && ok

begun gone-without-a-trace
provision wifi remove Cafe; provision wifi remove Modern; provision wifi remove Nowhere
wants 64 "was not added by provision" provision wifi remove theirs
if ! cmp $conf /tmp/before.conf; then cat $conf; fail "the file is another one"
elif [ -e /etc/modprobe.d/provision-wifi.conf ] || ls /etc/provision/wifi.d/*.yaml 2>/dev/null; then fail "something is left"
else ok; fi
exit 0
