package main

// dataWay is docs/data-way.svg: how a change comes about, and the way of a laptop's packet behind a board on its USB port. A test
// asks whether the packages and commands exist.
func dataWay() picture {
	return picture{
		title: "The data's way through provision",
		note:  "grey: the package    green: the command, after the word provision",
		panels: []panel{
			{
				title: "How a change comes about", columns: 5, rows: 3,
				boxes: []box{
					{id: "facts", col: 0, row: 0, text: []string{"the machine as it is:", "NICs, routes, managers"}, pkg: "provision/facts", command: "facts"},
					{id: "configuration", col: 0, row: 1, text: []string{"one file; or none, and", "the defaults hold"}, pkg: "cmd/provision", command: "validate"},
					{id: "planners", col: 1, row: 0.5, text: []string{"pure functions: they", "touch nothing"}, pkg: "backends gadget routing"},
					{id: "goal", col: 2, row: 0.5, text: []string{"what should exist,", "and why"}, pkg: "provision"},
					{id: "plan", col: 3, row: 0.5, text: []string{"how that differs from", "what is there"}, pkg: "provision", command: "plan"},
					{id: "snapshot", col: 4, row: 0.5, text: []string{"the values of before,", "safe from a power cut"}, pkg: "provision", command: "rollback"},
					{id: "resources", col: 4, row: 2, text: []string{"files, routes, nftables,", "daemons: one by one"}, pkg: "provision/resource", command: "apply"},
					{id: "verify", col: 3, row: 2, text: []string{"is it so in the kernel,", "and not only in files?"}, pkg: "provision", command: "verify"},
					{id: "ledger", col: 2, row: 2, text: []string{"what is ours, and what", "was there at first"}, pkg: "provision", command: "revert"},
				},
				arrows: []arrow{
					{from: "facts", to: "planners"},
					{from: "configuration", to: "planners"},
					{from: "planners", to: "goal"},
					{from: "goal", to: "plan"},
					{from: "plan", to: "snapshot"},
					{from: "snapshot", to: "resources"},
					{from: "resources", to: "verify"},
					{from: "verify", to: "ledger", label: []string{"yes"}},
					{from: "verify", to: "plan", label: []string{"no: the goal is the", "snapshot, and back"}, back: true},
					{from: "ledger", to: "goal", label: []string{"revert: the goal is", "what was at first"}, back: true},
				},
			},
			{
				title: "The way of a packet, from a laptop with a Pi Zero on its USB port", columns: 6, rows: 2,
				boxes: []box{
					{id: "laptop", col: 0, row: 1, text: []string{"any system, with", "nothing installed"}},
					{id: "usb0", col: 1, row: 1, text: []string{"to the laptop it", "is a network card"}, pkg: "gadget", command: "gadget status"},
					{id: "server", col: 1, row: 0, text: []string{"address, names,", "IPv6 prefix"}, pkg: "dnsdhcp", command: "serve"},
					{id: "firewall", col: 2, row: 1, text: []string{"one policy for", "both families"}, pkg: "routing/firewall", command: "firewall show"},
					{id: "routes", col: 3, row: 1, text: []string{"by mark, country,", "list or name"}, pkg: "routing/policy", command: "explain"},
					{id: "tunnel", col: 4, row: 0, text: []string{"WireGuard, if one", "is configured"}, pkg: "routing/wireguard", command: "wireguard check"},
					{id: "uplink", col: 4, row: 1, text: []string{"Wi-Fi, translated", "to one address"}, pkg: "backends/wifi", command: "wifi list"},
					{id: "Internet", col: 5, row: 1, text: []string{"sees the uplink, or", "the tunnel's end"}},
				},
				arrows: []arrow{
					{from: "laptop", to: "usb0"},
					{from: "usb0", to: "server", label: []string{"asks"}},
					{from: "usb0", to: "firewall"},
					{from: "firewall", to: "routes"},
					{from: "routes", to: "tunnel"},
					{from: "routes", to: "uplink", label: []string{"if no", "kill", "switch"}},
					{from: "tunnel", to: "uplink", label: []string{"encrypted"}},
					{from: "uplink", to: "Internet"},
				},
			},
		},
	}
}
