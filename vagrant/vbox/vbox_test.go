package vbox

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/vagrant/vbox/vboxtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(vboxtest.Env) != "" && len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		os.Exit(vboxtest.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func start(t *testing.T, h *vboxtest.Host) (Runner, func() *vboxtest.Host) {
	t.Helper()
	program, now := vboxtest.Start(t, h)
	return Program(program), now
}

func read(t *testing.T, r Runner, name string) Machine {
	t.Helper()
	m, err := Read(context.Background(), r, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every form in which VBoxManage has said it means the same.
func TestListsInEveryForm(t *testing.T) {
	for name, set := range map[string]func(*vboxtest.Host){
		"7.0":     func(*vboxtest.Host) {},
		"before":  func(h *vboxtest.Host) { h.Old = true },
		"Windows": func(h *vboxtest.Host) { h.CRLF = true },
		"Russian": func(h *vboxtest.Host) { h.Russian = true },
		"both":    func(h *vboxtest.Host) { h.Russian, h.CRLF = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			h := vboxtest.Lab()
			set(h)
			r, _ := start(t, h)
			ctx := context.Background()
			adapters, err := Adapters(ctx, r)
			if err != nil || len(adapters) != 3 {
				t.Fatalf("%+v, %v", adapters, err)
			}
			first := Adapter{Name: "Intel(R) Ethernet Connection I219-LM", Address: "192.168.1.10/24", MAC: "54:e1:ad:00:00:01", Status: "up"}
			if h.Russian {
				first.Status = "подключен"
			}
			if adapters[0] != first {
				t.Errorf("%+v\nwant %+v", adapters[0], first)
			}
			if got := adapters[1].Wireless; got == (h.Russian || h.Old) {
				t.Errorf("wireless is %v", got)
			}
			if adapters[2].Address != "" || adapters[2].Name != "DisplayLink Network Adapter NCM" {
				t.Errorf("an adapter without an address: %+v", adapters[2])
			}
			only, err := HostOnlyAdapters(ctx, r)
			if err != nil || len(only) != 1 || only[0].Name != "VirtualBox Host-Only Ethernet Adapter" || only[0].Address != "192.168.56.1/24" {
				t.Errorf("%+v, %v", only, err)
			}
			networks, err := Networks(ctx, r)
			want := []Network{{Name: "NatNetwork", Prefix: netip.MustParsePrefix("192.0.2.0/24"), DHCP: true, Enabled: true}}
			if err != nil || !reflect.DeepEqual(networks, want) {
				t.Errorf("%+v, %v", networks, err)
			}
			vms, err := VMs(ctx, r)
			if err != nil || len(vms) != 2 || vms[0].Running || !vms[1].Running || vms[1].Name != `lab {two} "box"` {
				t.Errorf("%+v, %v", vms, err)
			}
			m := read(t, r, "witty-kelpie")
			if m.State != "poweroff" || m.Chipset != "piix3" || !m.Multipass() || len(m.NICs) != 8 {
				t.Errorf("%+v", m)
			}
			nic := NIC{Number: 1, Attachment: NAT, MAC: "08:00:27:3c:ce:d0", Guest: "enp0s3", Forwards: []Forward{{"ssh", "tcp", "", 53507, "", 22}}}
			if !reflect.DeepEqual(m.NICs[0], nic) {
				t.Errorf("%+v\nwant %+v", m.NICs[0], nic)
			}
			// What its owner wrote about a VM is no setting of it.
			m = read(t, r, `lab {two} "box"`)
			if len(m.NICs) != 36 || m.NICs[0].Attachment != NAT || len(m.NICs[0].Forwards) != 0 || m.NICs[0].Guest != "" {
				t.Errorf("%d NICs, %+v", len(m.NICs), m.NICs[0])
			}
		})
	}
}

func TestStrangeAnswersAreRefused(t *testing.T) {
	for _, text := range []string{"witty {6ebc2119-de35-467b-a695-047eb2e424f5}", `"a" {b}`, `"a`, "{", "WARNING: The vboxdrv kernel module is not loaded."} {
		if got, err := ParseVMs(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"", "name=\"a\"\nVMState=\"poweroff\"\n", "name=\"a\"\nVMState=\"x\"\nmacaddress1=\"0800273CCED0\"\n",
		"name=\"a\"\nVMState=\"x\"\nnic1=\"nat\"\nForwarding(0)=\"a,b\"\n", "name=\"a\"\nVMState=\"x\"\nnic1=\"nat\"\nmacaddress1=\"zz\"\n",
		"Forwarding(0)=\"a,tcp,,1,,2\"\n", "name=\"a\"\nVMState=\"x\"\nnic99=\"nat\"\n"} {
		if got, err := ParseMachine(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"hello", "Name: x\nMAC: y\n", "Name:\nGUID: x\n"} {
		if got, err := ParseAdapters(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"Name: x\nNetwork: y\n", "Name:\nNetwork: 192.0.2.0/24\n"} {
		if got, err := ParseNetworks(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"list":[{"state":"Running"}]}`} {
		if got, err := ParseMultipass(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestMultipass(t *testing.T) {
	want := []Instance{{"a", "Stopped", nil}, {"witty-kelpie", "Running", []string{"10.0.2.15"}}}
	for _, text := range []string{
		`{"list":[{"ipv4":["10.0.2.15"],"name":"witty-kelpie","release":"Ubuntu 22.04 LTS","state":"Running"},{"name":"a","state":"Stopped"}]}`,
		`{"errors":[],"info":{"witty-kelpie":{"image_hash":"x","ipv4":["10.0.2.15"],"state":"Running"},"a":{"state":"Stopped"}}}`,
	} {
		if got, err := ParseMultipass(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if got, err := ParseMultipass(`{"list":[]}`); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestGuestNames(t *testing.T) {
	var got []string
	for n := range 10 {
		got = append(got, GuestName("piix3", n))
	}
	if want := "|enp0s3|enp0s8|enp0s9|enp0s10|enp0s16|enp0s17|enp0s18|enp0s19|"; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
	if got := GuestName("ich9", 2); got != "" {
		t.Errorf("ICH9: %q", got)
	}
}

// The whole of a bridge: what is called, what the VM is then, the guest's half, again without a change, and back.
func TestBridge(t *testing.T) {
	r, now := start(t, vboxtest.Lab())
	ctx := context.Background()
	adapters, err := Adapters(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"displaylink", "Intel(R) Dual Band Wireless-AC 8260"}
	m := read(t, r, "witty-kelpie")
	p, err := PlanBridge(m, adapters, names, 0)
	if err != nil {
		t.Fatal(err)
	}
	do, undo := p.Commands()
	want := [][]string{{"modifyvm", "witty-kelpie", "--nic2", "bridged", "--bridgeadapter2", "DisplayLink Network Adapter NCM",
		"--nic3", "bridged", "--bridgeadapter3", "Intel(R) Dual Band Wireless-AC 8260"}}
	if !reflect.DeepEqual(do, want) || len(p.Notes) != 2 {
		t.Errorf("%q, notes %q", do, p.Notes)
	}
	after, err := Do(ctx, r, m, p)
	if err != nil {
		t.Fatal(err)
	}
	g := GuestHalf(after, p, after.Multipass())
	wantGuest := &Guest{NICs: []GuestNIC{{2, "enp0s8", after.NICs[1].MAC, 10}, {3, "enp0s9", after.NICs[2].MAC, 11}},
		Commands: []string{"multipass start witty-kelpie", "multipass exec witty-kelpie -- sudo provision apply"}}
	if !reflect.DeepEqual(g, wantGuest) || after.NICs[1].MAC == "" {
		t.Errorf("%+v\nwant %+v", g, wantGuest)
	}
	again, err := PlanBridge(after, adapters, names, 0)
	if err != nil || len(again.Steps) != 0 || len(again.Already) != 2 {
		t.Errorf("again: %+v, %v", again, err)
	}
	// One more goes to the next NIC, and its metric behind the others.
	p, err = PlanBridge(after, adapters, []string{"Intel(R) Ethernet"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	if g := GuestHalf(after, p, false); len(g.NICs) != 1 || g.NICs[0] != (GuestNIC{5, "enp0s16", "", 12}) || g.Commands[0] != "sudo provision apply" {
		t.Errorf("%+v", g)
	}
	if _, err := r.Run(ctx, undo[0]...); err != nil {
		t.Fatal(err)
	}
	if back := read(t, r, "witty-kelpie"); !reflect.DeepEqual(back, m) {
		t.Errorf("%+v\nwas %+v", back, m)
	}
	if n := len(now().Calls); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestWhatCannotBeAttached(t *testing.T) {
	stopped := Unseen("vm", false, nil)
	running := Unseen("vm", true, nil)
	full := Unseen("vm", false, nil)
	for i := range full.NICs[1:] {
		full.NICs[i+1].Attachment, full.NICs[i+1].To = Bridged, "other"
	}
	ich9 := Unseen("vm", false, nil)
	ich9.Chipset = "ich9"
	saved := Unseen("vm", false, nil)
	saved.State = "saved"
	adapters := []Adapter{{Name: "eth0"}, {Name: "eth1"}, {Name: "Eth2 of B\xfcro"}}
	for _, tt := range []struct {
		what  string
		m     Machine
		names string
		first int
		kind  error
		says  string
	}{
		{"the NAT NIC", stopped, "eth0", 1, ErrUsage, "NIC 1 is the NAT NIC"},
		{"a ninth NIC", stopped, "eth0", 9, ErrUsage, "PIIX3 has NICs 1 to 8; ICH9 has 36"},
		{"no free NIC", full, "eth0", 0, ErrUsage, "PIIX3 has NICs 1 to 8"},
		{"a NIC that is taken", full, "eth0", 4, ErrTaken, "NIC 4 of \"vm\" is attached to bridged: other"},
		{"a negative NIC", stopped, "eth0", -1, ErrUsage, "no NIC -1"},
		{"a running VM", running, "eth0", 0, ErrState, "stopped VM only"},
		{"a saved VM", saved, "eth0", 0, ErrState, "start it and shut it down"},
		{"an unknown adapter", stopped, "wlan0", 0, ErrMissing, `there are "eth0", "eth1"`},
		{"half a name of several", stopped, "ETH", 0, ErrUsage, "is the beginning of several"},
		{"no name", stopped, "", 0, ErrMissing, "there is no"},
		{"one twice", stopped, "eth0,eth0", 0, ErrUsage, "named twice"},
		{"more than ICH9 has", ich9, "eth0", 37, ErrUsage, "ICH9 has NICs 1 to 36"},
	} {
		_, err := PlanBridge(tt.m, adapters, strings.Split(tt.names, ","), tt.first)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
	// What is possible: NIC 9 of ICH9; a name in the code page of Windows, handed on as it was given.
	if p, err := PlanBridge(ich9, adapters, []string{"eth0"}, 9); err != nil || p.Steps[0].Do[2] != "--nic9" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := PlanBridge(stopped, adapters, []string{"Eth2 of Büro"}, 0); err != nil || p.Steps[0].Do[5] != "Eth2 of Büro" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := PlanBridge(stopped, nil, []string{"eth0"}, 0); !errors.Is(err, ErrMissing) {
		t.Errorf("no adapters: %v", err)
	}
	// A VM that runs and has it already needs nothing.
	running.NICs[3].Attachment, running.NICs[3].To = Bridged, "eth1"
	if p, err := PlanBridge(running, adapters, []string{"eth1"}, 0); err != nil || len(p.Steps) != 0 || len(p.Already) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestHostOnlyAndNATNetwork(t *testing.T) {
	r, now := start(t, vboxtest.Lab())
	ctx := context.Background()
	m := read(t, r, "witty-kelpie")
	only, err := HostOnlyAdapters(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	p, err := PlanHostOnly(m, only, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = Do(ctx, r, m, p); err != nil {
		t.Fatal(err)
	}
	if g := GuestHalf(m, p, false); g.NICs[0].Metric != 0 || g.NICs[0].Name != "enp0s8" {
		t.Errorf("a host-only NIC leads nowhere: %+v", g)
	}
	networks, err := Networks(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = PlanNATNetwork(m, networks, "My Net", netip.MustParsePrefix("198.51.100.7/24"), 0); err != nil {
		t.Fatal(err)
	}
	if m, err = Do(ctx, r, m, p); err != nil {
		t.Fatal(err)
	}
	h := now()
	if n := h.Networks; len(n) != 2 || n[1] != (vboxtest.Network{Name: "My Net", Prefix: "198.51.100.0/24", DHCP: true}) {
		t.Errorf("%+v", n)
	}
	if n := h.VMs[0].NICs[3]; n == nil || n.Attachment != "natnetwork" || n.To != "My Net" {
		t.Errorf("%+v", n)
	}
	networks, err = Networks(ctx, r)
	if p, again := PlanNATNetwork(m, networks, "My Net", netip.Prefix{}, 0); err != nil || again != nil || len(p.Steps) != 0 {
		t.Errorf("again: %+v, %v, %v", p, again, err)
	}
	for _, tt := range []struct {
		name, prefix, says string
		kind               error
	}{
		{"NatNetwork", "198.51.100.0/24", "is there and has 192.0.2.0/24", ErrTaken},
		{"x", "", "say which addresses", ErrMissing},
		{"x", "10.0.2.0/24", "VirtualBox' own NAT", ErrUsage},
		{"x", "10.0.0.0/8", "VirtualBox' own NAT", ErrUsage},
		{"x", "192.0.2.128/25", `overlaps NAT network "NatNetwork"`, ErrTaken},
		{"x", "203.0.113.0/30", "from /8 to /29", ErrUsage},
		{"x", "2001:db8::/64", "has to be IPv4", ErrUsage},
		{"-x", "203.0.113.0/24", "cannot be the name", ErrUsage},
		{"", "203.0.113.0/24", "cannot be the name", ErrUsage},
	} {
		var prefix netip.Prefix
		if tt.prefix != "" {
			prefix = netip.MustParsePrefix(tt.prefix)
		}
		if _, err := PlanNATNetwork(m, networks, tt.name, prefix, 0); !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q %s: %v", tt.name, tt.prefix, err)
		}
	}
	if _, err := PlanHostOnly(m, nil, "", 0); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "hostonlyif create") {
		t.Errorf("%v", err)
	}
	if _, err := PlanHostOnly(m, []Adapter{{Name: "a"}, {Name: "b"}}, "", 0); !errors.Is(err, ErrUsage) {
		t.Errorf("%v", err)
	}
}

func forwards(t *testing.T, texts ...string) []Forward {
	t.Helper()
	var out []Forward
	for _, s := range texts {
		f, err := ParseForward(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// Rules come and go on a VM that runs, is paused, stopped or saved; several at once.
func TestForward(t *testing.T) {
	for _, state := range []string{"poweroff", "saved", "running", "paused"} {
		t.Run(state, func(t *testing.T) {
			h := vboxtest.Lab()
			h.VMs[0].State = state
			r, now := start(t, h)
			ctx := context.Background()
			m := read(t, r, "witty-kelpie")
			add := forwards(t, "TCP DNS=127.0.0.1:53:53/tcp", "UDP DNS=127.0.0.1:53:53/udp", "0.0.0.0:8080:80")
			p, err := PlanForward(m, 1, add, nil)
			if err != nil {
				t.Fatal(err)
			}
			if m, err = Do(ctx, r, m, p); err != nil {
				t.Fatal(err)
			}
			want := []string{"ssh,tcp,,53507,,22", "TCP DNS,tcp,127.0.0.1,53,,53", "UDP DNS,udp,127.0.0.1,53,,53", "tcp-8080,tcp,,8080,,80"}
			if got := now().VMs[0].NICs[1].Rules; !slices.Equal(got, want) {
				t.Fatalf("%q", got)
			}
			calls := 1
			if state == "running" || state == "paused" {
				calls = 3 // controlvm does one at a time
			}
			if got := len(now().Calls); got != calls {
				t.Errorf("%d calls: %q", got, now().Calls)
			}
			if p, err := PlanForward(m, 1, add, nil); err != nil || len(p.Steps) != 0 || len(p.Already) != 3 {
				t.Errorf("again: %+v, %v", p, err)
			}
			// One is replaced by another of its name, one goes.
			before := m
			p, err = PlanForward(m, 1, forwards(t, "tcp-8080=127.0.0.1:8080:8080"), []string{"tcp-8080", "UDP DNS"})
			if err != nil {
				t.Fatal(err)
			}
			if m, err = Do(ctx, r, m, p); err != nil {
				t.Fatal(err)
			}
			want = []string{"ssh,tcp,,53507,,22", "TCP DNS,tcp,127.0.0.1,53,,53", "tcp-8080,tcp,127.0.0.1,8080,,8080"}
			if got := now().VMs[0].NICs[1].Rules; !slices.Equal(got, want) {
				t.Errorf("%q", got)
			}
			_, undo := p.Commands()
			for _, u := range undo {
				if _, err := r.Run(ctx, u...); err != nil {
					t.Error(err)
				}
			}
			if after := read(t, r, "witty-kelpie"); !sameRules(after.NICs[0].Forwards, before.NICs[0].Forwards) {
				t.Errorf("back: %+v\nwas %+v", after.NICs[0].Forwards, before.NICs[0].Forwards)
			}
			_ = m
		})
	}
}

func sameRules(a, b []Forward) bool {
	order := func(x, y Forward) int { return strings.Compare(x.Name, y.Name) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order))
}

func TestForwardsThatCannotBe(t *testing.T) {
	for _, s := range []string{"", "80", "80:", ":80", "0:80", "80:0", "65536:80", "80x:80", "+80:80", "80:80/sctp", "80:80/", "::1:80:80", "example.org:80:80",
		"=80:80", "a,b=80:80", "delete=80:80", " a=80:80", "a\"=80:80", "1:2:3:4", "256.0.0.1:80:80", strings.Repeat("a", 65) + "=80:80"} {
		if f, err := ParseForward(s); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %+v, %v", s, f, err)
		}
	}
	m := Unseen("vm", true, []Forward{{"ssh", "tcp", "", 2222, "", 22}, {"dns", "udp", "127.0.0.1", 53, "", 53}})
	m.NICs[1].Attachment, m.NICs[1].To = Bridged, "eth0"
	m.NICs[2].Attachment, m.NICs[2].Forwards = NAT, []Forward{{"web", "tcp", "", 8080, "", 80}}
	starting := m
	starting.State = "starting"
	for _, tt := range []struct {
		m      Machine
		nic    int
		add    string
		remove string
		kind   error
		says   string
	}{
		{m, 2, "1:1", "", ErrState, "NIC 2 of \"vm\" is attached to bridged: eth0"},
		{m, 9, "1:1", "", ErrUsage, "PIIX3 has NICs 1 to 8"},
		{m, 0, "1:1", "", ErrUsage, "has no NIC 0"},
		{m, 1, "ssh=2223:22", "", ErrTaken, `a rule "ssh" is there`},
		{m, 1, "2222:23", "", ErrTaken, `is forwarded by rule "ssh"`},
		{m, 1, "127.0.0.1:2222:22", "", ErrTaken, `is forwarded by rule "ssh"`},
		{m, 1, "53:53/udp", "", ErrTaken, `is forwarded by rule "dns"`},
		{m, 1, "8080:80", "", ErrTaken, `rule "web" of NIC 3`},
		{m, 1, "", "none", ErrMissing, "there are: ssh, dns"},
		{m, 1, "1:1 1:2", "", ErrTaken, "tcp-1"},
		{starting, 1, "1:1", "", ErrState, "is starting"},
	} {
		var remove []string
		if tt.remove != "" {
			remove = []string{tt.remove}
		}
		_, err := PlanForward(tt.m, tt.nic, forwards(t, strings.Fields(tt.add)...), remove)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("NIC %d, %q, without %q: %v", tt.nic, tt.add, tt.remove, err)
		}
	}
	// The same port of another address or protocol is another one.
	if _, err := PlanForward(m, 1, forwards(t, "127.0.0.2:53:53/udp", "53:53/tcp"), nil); err != nil {
		t.Error(err)
	}
}

// What fails midway is taken back, and what VBoxManage says it did is looked at.
func TestFailuresAreTakenBack(t *testing.T) {
	ctx := context.Background()
	prefix := netip.MustParsePrefix("198.51.100.0/24")
	natnet := func(h *vboxtest.Host) (*vboxtest.Host, error) {
		r, now := start(t, h)
		m := read(t, r, "witty-kelpie")
		p, err := PlanNATNetwork(m, nil, "MyNet", prefix, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Do(ctx, r, m, p)
		return now(), err
	}
	h := vboxtest.Lab()
	h.Fail = "modifyvm"
	if h, err := natnet(h); err == nil || !strings.HasSuffix(err.Error(), "Could not save the settings") || len(h.Networks) != 1 {
		t.Errorf("%v, %+v", err, h.Networks)
	}
	h = vboxtest.Lab()
	h.Ignore = "modifyvm"
	if h, err := natnet(h); err == nil || !strings.Contains(err.Error(), "NIC 2 is not attached to natnetwork: MyNet") || len(h.Networks) != 1 {
		t.Errorf("%v, %+v", err, h.Networks)
	}
	// The second of three rules fails on a running VM: the first one goes again.
	h = vboxtest.Lab()
	h.VMs[0].State = "running"
	h.Fail = "controlvm witty-kelpie natpf1 two"
	r, now := start(t, h)
	m := read(t, r, "witty-kelpie")
	p, err := PlanForward(m, 1, forwards(t, "one=1:1", "two=2:2", "three=3:3"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Do(ctx, r, m, p); err == nil || errors.Is(err, ErrStuck) {
		t.Errorf("%v", err)
	}
	if got := now().VMs[0].NICs[1].Rules; !slices.Equal(got, []string{"ssh,tcp,,53507,,22"}) {
		t.Errorf("%q", got)
	}
	// A rule was replaced by one of its name before another failed: what is taken back goes in the other order.
	h.Fail = "controlvm witty-kelpie natpf1 two"
	r, now = start(t, h)
	replaced, err := PlanForward(m, 1, forwards(t, "ssh=53508:22", "two=2:2"), []string{"ssh"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Do(ctx, r, m, replaced); err == nil || errors.Is(err, ErrStuck) {
		t.Errorf("%v", err)
	}
	if got := now().VMs[0].NICs[1].Rules; !slices.Equal(got, []string{"ssh,tcp,,53507,,22"}) {
		t.Errorf("%q", got)
	}
	// Going back fails too.
	h.Fail = "controlvm witty-kelpie natpf1"
	r, _ = start(t, h)
	if err := back(ctx, r, p.Steps[:1], errors.New("why")); !errors.Is(err, ErrStuck) || !strings.HasPrefix(err.Error(), "why; ") {
		t.Errorf("%v", err)
	}
	// VBoxManage takes a NIC number that is too large, complains and ends well.
	h = vboxtest.Lab()
	r, now = start(t, h)
	if _, err := r.Run(ctx, "modifyvm", "witty-kelpie", "--nic9", "bridged"); err != nil || len(now().VMs[0].NICs) != 1 {
		t.Errorf("%v", err)
	}
}

// The stand-in refuses what VBoxManage refuses, in its words; they reach the user without where in its source they
// come from.
func TestRefusals(t *testing.T) {
	r, _ := start(t, vboxtest.Lab())
	for args, want := range map[string]string{
		"modifyvm witty-kelpie --nick2 x":                                               "Unknown option: --nick2",
		"modifyvm nobody --nic2 nat":                                                    "Could not find a registered machine named 'nobody'",
		"modifyvm 8badf00d-de35-467b-a695-047eb2e424f5 --nic2 nat":                      "is already locked for a session (or being unlocked)",
		"controlvm witty-kelpie natpf1 a,tcp,,1,,1":                                     "Machine 'witty-kelpie' is not currently running.",
		"controlvm 8badf00d-de35-467b-a695-047eb2e424f5 natpf37 a,tcp,,1,,1":            "Invalid NIC number '37'",
		"modifyvm witty-kelpie --natpf1 ssh,tcp,,1,,1":                                  "A NAT rule of this name already exists",
		"modifyvm witty-kelpie --natpf1 b,tcp,,53507,,1":                                "A NAT rule for this host port and this host IP already exists",
		"modifyvm witty-kelpie --natpf1 delete b":                                       "Code E_INVALIDARG (0x80070057) - Invalid argument value (extended info not available)",
		"modifyvm witty-kelpie --natpf1 b,icmp,,1,,1":                                   "Invalid proto 'b,icmp,,1,,1' specfied for NIC",
		"natnetwork add --netname NatNetwork --network 192.0.2.0/24 --enable --dhcp on": "NATNetwork server already exists",
		"natnetwork remove --netname no":                                                "NATNetwork server does not exist",
		"frobnicate":                                                                    "Invalid command 'frobnicate'",
	} {
		if _, err := r.Run(context.Background(), strings.Fields(args)...); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestFindingTheVM(t *testing.T) {
	h := vboxtest.Lab()
	r, _ := start(t, h)
	ctx := context.Background()
	if m := read(t, r, strings.ToUpper(h.VMs[0].UUID)); m.Name != "witty-kelpie" {
		t.Errorf("%+v", m)
	}
	if _, err := Read(ctx, r, "nobody"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "witty-kelpie") {
		t.Errorf("%v", err)
	}
	h.VMs[1].Name = "witty-kelpie"
	r, _ = start(t, h)
	if _, err := Read(ctx, r, "witty-kelpie"); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "2 VMs") {
		t.Errorf("%v", err)
	}
	if m := read(t, r, h.VMs[0].UUID); m.Name != h.VMs[0].UUID {
		t.Errorf("a name that is two VMs' is used: %q", m.Name)
	}
	h.VMs = nil
	r, _ = start(t, h)
	if _, err := Read(ctx, r, "x"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "SYSTEM on Windows") {
		t.Errorf("%v", err)
	}
	if _, err := Find("/nowhere/VBoxManage"); !errors.Is(err, ErrMissing) {
		t.Errorf("%v", err)
	}
	env := func(k string) string { return map[string]string{"VBOX_MSI_INSTALL_PATH": "D:"}[k] }
	if got := installed("windows", env); len(got) != 2 || !strings.HasPrefix(got[0], "D:") || got[1] != DefaultVBoxManage {
		t.Errorf("%q", got)
	}
}
