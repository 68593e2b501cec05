package vbox

// Guest is the other half of an attached NIC: the guest has to ask for an address.
type Guest struct {
	NICs     []GuestNIC `json:"nics"`
	Commands []string   `json:"commands"`
}

// GuestNIC is a NIC as the guest will see it.
type GuestNIC struct {
	Number int    `json:"number"`
	Name   string `json:"name,omitempty"` // enp0s8; "" is to be found by its MAC address
	MAC    string `json:"mac,omitempty"`  // "" until it is attached
	// Metric is what `provision apply` gives its default route in a guest that it has not seen before and whose
	// configuration says nothing else; 0 where the NIC leads nowhere.
	Metric uint32 `json:"metric,omitempty"`
}

// firstMetric is the default of network.first-metric.
const firstMetric = 10

// GuestHalf says what is left to do in the guest once the plan is done. m is the machine as it is then, or as it was
// before a plan that was not done.
func GuestHalf(m Machine, p Plan, multipass bool) *Guest {
	if len(p.nics) == 0 {
		return nil
	}
	shall := map[int]NIC{}
	for _, n := range m.NICs {
		shall[n.Number] = n
	}
	mine := map[int]bool{}
	for _, n := range p.nics {
		if have := shall[n.Number]; have.Attachment == n.Attachment && have.To == n.To {
			n = have
		}
		shall[n.Number], mine[n.Number] = n, true
	}
	g := &Guest{}
	metric := uint32(firstMetric)
	for number := 1; number <= MaxNICs(m.Chipset); number++ {
		n, ok := shall[number]
		if !ok {
			continue
		}
		out := GuestNIC{Number: number, Name: GuestName(m.Chipset, number), MAC: n.MAC}
		if n.Attachment == Bridged || n.Attachment == NATNetwork {
			out.Metric = metric
			metric++
		}
		if mine[number] {
			g.NICs = append(g.NICs, out)
		}
	}
	if name := word(m.Name); multipass {
		if m.State != "running" {
			g.Commands = append(g.Commands, "multipass start "+name)
		}
		g.Commands = append(g.Commands, "multipass exec "+name+" -- sudo provision apply")
		return g
	}
	g.Commands = append(g.Commands, "sudo provision apply")
	return g
}
