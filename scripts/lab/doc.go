// Package lab gives tests a small real network and real machines in it.
//
// A World is a pair of network namespaces: the machine's side with its NICs (eth0 behind a NAT-like router on 10.0.2.0/24, eth1
// "bridged" on 192.168.76.0/24) and the provider's side with DHCP and router advertisement servers from Debian's packages. Boot
// starts the real systemd of a cached Debian root inside the machine's side; BootVM does the same in a virtual machine with a
// kernel of its own. Streams measures how long TCP sessions of the machine stall.
//
//	func TestApply(t *testing.T) {
//		lab.Need(t, lab.Tier2)
//		w := lab.NewWorld(t, lab.WorldOpts{})
//		m := lab.Boot(t, lab.Root(t, "bookworm-netplan"), w, lab.BootOpts{Binary: binary})
//		m.AwaitDefaults(t, 10*time.Second, "eth0", "eth1")
//		s := lab.Streams(t, w, lab.StreamOpts{})
//		s.Mark("apply")
//		m.MustRun(t, "provision", "apply")
//		s.Require(t, 100*time.Millisecond)
//	}
//
// Everything is undone when the test ends, and also when it is killed: namespaces have no names, so they and their mounts end
// with their processes, and every process is told by the kernel to die with its parent (prctl(2), PR_SET_PDEATHSIG).
//
// The package needs Linux and root. Elsewhere it is empty.
package lab
