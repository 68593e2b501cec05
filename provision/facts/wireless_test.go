package facts

import (
	"reflect"
	"strings"
	"testing"
)

func TestSupplicants(t *testing.T) {
	for args, want := range map[string][]Supplicant{
		"-u -s -O /run/wpa_supplicant":                          {{PID: 7}},
		"-B -c/etc/wpa_supplicant/wpa_supplicant.conf -iwlan0":  {{PID: 7, Link: "wlan0", Config: "/etc/wpa_supplicant/wpa_supplicant.conf"}},
		"-c /a.conf -i wlan0 -N -i wlan1 -c/b.conf -Dnl80211":   {{PID: 7, Link: "wlan0", Config: "/a.conf"}, {PID: 7, Link: "wlan1", Config: "/b.conf"}},
		"-c /run/netplan/wpa-wlan0.conf -iwlan0 -Dnl80211,wext": {{PID: 7, Link: "wlan0", Config: "/run/netplan/wpa-wlan0.conf"}},
		"-i": {{PID: 7}},
	} {
		got := supplicants(process{PID: 7, Args: append([]string{"/sbin/wpa_supplicant"}, strings.Fields(args)...)})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", args, got, want)
		}
	}
}
