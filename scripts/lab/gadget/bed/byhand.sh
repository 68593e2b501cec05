#!/bin/bash
# byhand.sh up FUNCTION... | down : a USB gadget with one configuration as the guides for the Pi Zero have it: a shell script that writes
# configfs, and dnsmasq for the addresses. FUNCTION is a type like ncm; each network function gets a link usbN with 10.55.N.1/24.
set -eu
g=/sys/kernel/config/usb_gadget/byhand run=/run/byhand
case $1 in
up)
  shift; modprobe libcomposite
  mkdir -p $g $run; cd $g
  echo 0x1d6b > idVendor; echo 0x0104 > idProduct; echo 0x0100 > bcdDevice; echo 0x0200 > bcdUSB
  echo 0xEF > bDeviceClass; echo 0x02 > bDeviceSubClass; echo 0x01 > bDeviceProtocol
  mkdir -p strings/0x409 configs/c.1/strings/0x409
  echo 0123456789 > strings/0x409/serialnumber; echo me > strings/0x409/manufacturer; echo zero > strings/0x409/product
  echo "CDC" > configs/c.1/strings/0x409/configuration; echo 250 > configs/c.1/MaxPower
  n=0 nets=0 disk=
  for f; do
    d=functions/$f.usb$n; mkdir $d
    case $f in
      ecm|ncm|eem|rndis) echo 02:00:00:00:00:1$n > $d/dev_addr; echo 02:00:00:00:00:2$n > $d/host_addr; nets=$((nets+1));;
      mass_storage) disk=$run/disk; dd if=/dev/zero of=$disk bs=1M count=1 2>/dev/null; mkdosfs $disk; echo 1 > $d/lun.0/ro; echo $disk > $d/lun.0/file;;
      hid) echo 1 > $d/protocol; echo 1 > $d/subclass; echo 8 > $d/report_length
        printf '\x05\x01\x09\x06\xa1\x01\x05\x07\x19\xe0\x29\xe7\x15\x00\x25\x01\x75\x01\x95\x08\x81\x02\x95\x01\x75\x08\x81\x03\x95\x05\x75\x01\x05\x08\x19\x01\x29\x05\x91\x02\x95\x01\x75\x03\x91\x03\x95\x06\x75\x08\x15\x00\x25\x65\x05\x07\x19\x00\x29\x65\x81\x00\xc0' > $d/report_desc;;
    esac
    case $f in
      rndis) echo RNDIS > $d/os_desc/interface.rndis/compatible_id; echo 5162001 > $d/os_desc/interface.rndis/sub_compatible_id;;
      ncm) echo WINNCM > $d/os_desc/interface.ncm/compatible_id;;
    esac
    case $f in rndis|ncm) echo 1 > os_desc/use; echo 0xcd > os_desc/b_vendor_code; echo MSFT100 > os_desc/qw_sign;; esac
    ln -s $d configs/c.1/; n=$((n+1))
  done
  [ "$(cat os_desc/use)" = 0 ] || ln -s configs/c.1 os_desc/
  echo ${UDC:-$(ls /sys/class/udc | head -1)} > UDC
  ranges=()
  i=0; for f in functions/*; do
    [ -f $f/ifname ] || continue
    dev=$(cat $f/ifname)
    ip addr add 10.55.$i.1/24 dev $dev; ip link set $dev up; ranges+=(--interface=$dev --dhcp-range=10.55.$i.2,10.55.$i.9,255.255.255.0,1h); i=$((i+1))
  done
  [ $nets = 0 ] || dnsmasq -C /dev/null --user=root --group=root --bind-interfaces --except-interface=lo --no-ping --dhcp-authoritative \
    --dhcp-leasefile=$run/leases --pid-file=$run/pid --dhcp-option=3 --host-record=zero.lan,10.55.0.1 --no-hosts --no-resolv "${ranges[@]}";;
down)
  if [ -f $run/pid ]; then kill "$(cat $run/pid)" 2>/dev/null || :; fi
  rm -rf $run; [ -d $g ] || exit 0
  cd $g; echo > UDC || :
  for l in os_desc/c.1 configs/c.1/*.*; do [ ! -L $l ] || rm $l; done
  rmdir configs/c.1/strings/0x409 configs/c.1; for f in functions/*; do rmdir $f; done; rmdir strings/0x409; cd /; rmdir $g;;
esac
