package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/provision-net/provision/vagrant/vbox/vboxtest"
)

// TestMain lets the test's own program stand in for VBoxManage.
func TestMain(m *testing.M) {
	if os.Getenv(vboxtest.Env) != "" && len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		os.Exit(vboxtest.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// onHost calls provision host with a stand-in for VBoxManage.
func onHost(t *testing.T, h *vboxtest.Host) (do func(args ...string) (int, string, string), now func() *vboxtest.Host) {
	t.Helper()
	program, now := vboxtest.Start(t, h)
	t.Setenv("PATH", t.TempDir()) // no multipass
	return func(args ...string) (int, string, string) {
		return call(t, append(append([]string{"host"}, args...), "--vboxmanage", program)...)
	}, now
}

func TestHostBridge(t *testing.T) {
	do, now := onHost(t, vboxtest.Lab())
	const adapter = "Intel(R) Ethernet Connection I219-LM"
	// Looking changes nothing.
	code, out, errs := do("bridge", "witty-kelpie", adapter, "--dry-run")
	if code != 0 || errs != "" || !strings.Contains(out, "would run:") || !strings.Contains(out, "modifyvm witty-kelpie --nic2 bridged --bridgeadapter2") || len(now().Calls) != 0 {
		t.Errorf("status %d, %s, %s", code, errs, out)
	}
	code, out, errs = do("bridge", "witty-kelpie", adapter)
	if code != 0 || errs != "" {
		t.Fatalf("status %d, %s, %s", code, errs, out)
	}
	// Both halves, the host's and the guest's.
	for _, want := range []string{"NIC 2 of witty-kelpie is attached to bridged: " + adapter, "to take it back: ", "--nic2 none",
		"multipass start witty-kelpie", "multipass exec witty-kelpie -- sudo provision apply", "2    enp0s8        08:00:27:00:00:01  10"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if n := now().VMs[0].NICs[2]; n == nil || n.Attachment != "bridged" || n.To != adapter {
		t.Errorf("%+v", n)
	}
	if code, out, _ = do("bridge", "witty-kelpie", adapter); code != 0 || !strings.Contains(out, "nothing to change: NIC 2 is attached") || len(now().Calls) != 1 {
		t.Errorf("again: status %d, %s", code, out)
	}
	code, out, _ = do("list", "witty-kelpie")
	if code != 0 || !strings.Contains(out, "enp0s8   08:00:27:00:00:01  bridged: "+adapter) || !strings.Contains(out, "*:53507") {
		t.Errorf("status %d\n%s", code, out)
	}
	for _, tt := range []struct {
		code int
		says string
		args []string
	}{
		{64, "takes a VM and one or more adapters", []string{"bridge", "witty-kelpie"}},
		{69, "this account has no VM", []string{"bridge", "nobody", adapter}},
		{69, "there is no adapter that can be bridged", []string{"bridge", "witty-kelpie", "wlan0"}},
		{64, "PIIX3 has NICs 1 to 8; ICH9 has 36", []string{"bridge", "witty-kelpie", "DisplayLink", "--nic", "9"}},
		{4, "NIC 2 of \"witty-kelpie\" is attached", []string{"bridge", "witty-kelpie", "DisplayLink", "--nic", "2"}},
		{1, "NICs are added to a stopped VM only", []string{"bridge", `lab {two} "box"`, adapter}},
		{64, "takes a VM and one network", []string{"natnet", "witty-kelpie", "a", "b"}},
		{64, "is not like 192.0.2.0/24", []string{"natnet", "witty-kelpie", "a", "--network", "x"}},
		{64, "takes a VM and perhaps an interface", []string{"hostonly"}},
		{64, "name ports to forward", []string{"forward", "witty-kelpie"}},
		{64, "is no port forward", []string{"forward", "witty-kelpie", "80"}},
		{69, "has no rule \"x\"; there are: ssh", []string{"forward", "witty-kelpie", "--remove", "x"}},
		{4, "is forwarded by rule \"ssh\"", []string{"forward", "witty-kelpie", "53507:80"}},
	} {
		code, out, errs := do(tt.args...)
		if code != tt.code || !strings.Contains(errs, tt.says) || out != "" {
			t.Errorf("%q: status %d, %s, %s; want %d and %q", tt.args, code, errs, out, tt.code, tt.says)
		}
	}
	if code, _, errs := call(t, "host", "list", "--vboxmanage", "/nowhere"); code != exitMissing || !strings.Contains(errs, "cannot use /nowhere as VBoxManage") {
		t.Errorf("status %d, %s", code, errs)
	}
	if len(now().Calls) != 1 {
		t.Errorf("%q", now().Calls)
	}
}

func TestHostForward(t *testing.T) {
	h := vboxtest.Lab()
	h.VMs[0].State = "running"
	do, now := onHost(t, h)
	code, out, errs := do("forward", "witty-kelpie", "dns=127.0.0.1:53:53/tcp", "dns udp=127.0.0.1:53:53/udp", "8080:80", "-o", "json")
	var got hostOutcome
	if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil || len(got.Commands) != 3 || len(got.Added) != 3 || len(got.Notes) != 1 || got.Guest != nil {
		t.Fatalf("status %d, %v, %s\n%s", code, err, errs, out)
	}
	want := []string{"ssh,tcp,,53507,,22", "dns,tcp,127.0.0.1,53,,53", "dns udp,udp,127.0.0.1,53,,53", "tcp-8080,tcp,,8080,,80"}
	if rules := now().VMs[0].NICs[1].Rules; !slices.Equal(rules, want) {
		t.Errorf("%q", rules)
	}
	if code, out, _ = do("forward", "witty-kelpie", "--remove", "dns udp", "--remove", "ssh"); code != 0 || !strings.Contains(out, "rule dns udp of witty-kelpie is gone") {
		t.Errorf("status %d, %s", code, out)
	}
	if rules := now().VMs[0].NICs[1].Rules; !slices.Equal(rules, []string{want[1], want[3]}) {
		t.Errorf("%q", rules)
	}
}

func TestHostNetworks(t *testing.T) {
	do, now := onHost(t, vboxtest.Lab())
	if code, out, errs := do("natnet", "witty-kelpie", "MyNet", "--network", "198.51.100.0/24"); code != 0 || !strings.Contains(out, "NIC 2 of witty-kelpie is attached to natnetwork: MyNet") {
		t.Errorf("status %d, %s, %s", code, errs, out)
	}
	if code, out, errs := do("hostonly", "witty-kelpie"); code != 0 || !strings.Contains(out, "NIC 3 of witty-kelpie is attached to hostonly: VirtualBox Host-Only Ethernet Adapter") {
		t.Errorf("status %d, %s, %s", code, errs, out)
	}
	if n := len(now().Networks); n != 2 {
		t.Errorf("%d networks", n)
	}
	code, out, errs := do("list")
	for _, want := range []string{"DisplayLink Network Adapter NCM", "Wireless-AC 8260 (wireless)", "192.168.56.1/24", "198.51.100.0/24", "MyNet", "witty-kelpie"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d, %s: %q is missing in\n%s", code, errs, want, out)
		}
	}
	_, two, _ := do("list", "witty-kelpie")
	for line := range strings.Lines(out + two) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// What is printed for PsExec is made without looking at anything: no VBoxManage is there.
func TestHostPsExec(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	const vbox = `"C:\Program Files\Oracle\VirtualBox\VBoxManage.exe"`
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"bridge", "witty-kelpie", "DisplayLink Network Adapter NCM", "Intel(R) Dual Band Wireless-AC 8260"}, []string{
			"multipass stop witty-kelpie",
			`PsExec64.exe -accepteula -s ` + vbox + ` modifyvm witty-kelpie --nic2 bridged --bridgeadapter2 "DisplayLink Network Adapter NCM" --nic3 bridged --bridgeadapter3 "Intel(R) Dual Band Wireless-AC 8260"`,
			`PsExec64.exe -accepteula -s ` + vbox + ` showvminfo witty-kelpie`,
		}},
		{[]string{"hostonly", "vm", "--nic", "8"}, []string{"multipass stop vm",
			`PsExec64.exe -accepteula -s ` + vbox + ` modifyvm vm --nic8 hostonly --hostonlyadapter8 "VirtualBox Host-Only Ethernet Adapter"`,
			`PsExec64.exe -accepteula -s ` + vbox + ` showvminfo vm`}},
		{[]string{"natnet", "vm", "MyNet", "--network", "192.0.2.0/24"}, []string{"multipass stop vm",
			`PsExec64.exe -accepteula -s ` + vbox + ` natnetwork add --netname MyNet --network 192.0.2.0/24 --enable --dhcp on`,
			`PsExec64.exe -accepteula -s ` + vbox + ` modifyvm vm --nic2 natnetwork --nat-network2 MyNet`,
			`PsExec64.exe -accepteula -s ` + vbox + ` showvminfo vm`}},
		{[]string{"natnet", "vm", "MyNet"}, []string{"multipass stop vm",
			`PsExec64.exe -accepteula -s ` + vbox + ` modifyvm vm --nic2 natnetwork --nat-network2 MyNet`,
			`PsExec64.exe -accepteula -s ` + vbox + ` showvminfo vm`}},
		{[]string{"forward", "vm", "TCP DNS=127.0.0.1:53:53", "53:53/udp", "--remove", "old one"}, []string{
			`PsExec64.exe -accepteula -s ` + vbox + ` controlvm vm natpf1 delete "old one"`,
			`PsExec64.exe -accepteula -s ` + vbox + ` controlvm vm natpf1 "TCP DNS,tcp,127.0.0.1,53,,53"`,
			`PsExec64.exe -accepteula -s ` + vbox + ` controlvm vm natpf1 "udp-53,udp,,53,,53"`,
			`PsExec64.exe -accepteula -s ` + vbox + ` showvminfo vm`}},
		{[]string{"list"}, []string{`PsExec64.exe -accepteula -s ` + vbox + ` list bridgedifs`, `PsExec64.exe -accepteula -s ` + vbox + ` list vms`}},
		{[]string{"list", "vm"}, []string{`PsExec64.exe -accepteula -s ` + vbox + ` showvminfo vm`}},
	} {
		code, out, errs := call(t, append(append([]string{"host"}, tt.args...), "--psexec", "-o", "json")...)
		var got hostOutcome
		if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil {
			t.Errorf("%q: status %d, %v, %s", tt.args, code, err, errs)
			continue
		}
		if !slices.Equal(got.Script, tt.want) {
			t.Errorf("%q:\n%s\nwant\n%s", tt.args, strings.Join(got.Script, "\n"), strings.Join(tt.want, "\n"))
		}
	}
	code, out, _ := call(t, "host", "bridge", "vm", "eth 0", `--psexec=C:\My Tools\PsExec64.exe`)
	for _, want := range []string{"started as administrator:", `  "C:\My Tools\PsExec64.exe" -accepteula -s `, "enp0s8", "when attached", "multipass exec vm -- sudo provision apply"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d: %q is missing in\n%s", code, want, out)
		}
	}
	if code, _, errs := call(t, "host", "bridge", `v"m`, "eth0", "--psexec"); code != exitUsage || !strings.Contains(errs, "quotation mark") {
		t.Errorf("status %d, %s", code, errs)
	}
}

// The page's commands are executed, in its order.
func TestHostPage(t *testing.T) {
	text, err := os.ReadFile(docs + "/virtualbox.md")
	if err != nil {
		t.Fatal(err)
	}
	h := vboxtest.Lab()
	h.Networks = nil
	do, now := onHost(t, h)
	n := 0
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "provision host ")
		if !ok {
			continue
		}
		n++
		var args []string
		for i, part := range strings.Split(rest, `"`) { // every other part stood in quotes
			if i%2 == 1 {
				args = append(args, part)
			} else {
				args = append(args, strings.Fields(part)...)
			}
		}
		if code, out, errs := do(args...); code != 0 || out == "" {
			t.Errorf("provision host %s: status %d, %s", rest, code, errs)
		}
	}
	vm := now().VMs[0]
	if n < 11 || len(vm.NICs) != 5 || !slices.Equal(vm.NICs[1].Rules, []string{"ssh,tcp,,53507,,22", "TCP DNS,tcp,127.0.0.1,53,,53"}) {
		t.Errorf("%d commands, %d NICs, %q", n, len(vm.NICs), vm.NICs[1].Rules)
	}
}
