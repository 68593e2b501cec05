package facts

import (
	"encoding/json"
	"path"
	"strings"
)

// cloudAndCNI says which cloud platform or container network is in charge. Both
// keep the built-in policy away: it must never change a network that a control
// plane believes to own.
func (r *gathering) cloudAndCNI(ps processes) {
	m := &r.f.Machine
	if r.offline {
		m.Cloud = inCharge("", r.f.CloudInit, nil)
		return
	}
	var agents []string
	for _, p := range ps {
		if a := cloudAgent(p.Comm); a != "" && p.Ours && !p.Inner {
			agents = append(agents, a)
		}
	}
	platform := dmiCloud(m.Vendor, m.Product, r.value("/sys/class/dmi/id/chassis_asset_tag"))
	if len(agents) == 0 && platform == "ec2" && r.t.Exists("/usr/lib/systemd/system/policy-routes@.service") {
		agents = append(agents, platform) // amazon-ec2-net-utils has timers, no daemon
	}
	m.Cloud = inCharge(platform, r.f.CloudInit, agents)
	m.CNI = r.cni(ps)
}

// dmiCloud knows what cloud platforms write into DMI; the same places as
// cloud-init's ds-identify looks at.
func dmiCloud(vendor, product, asset string) string {
	switch {
	case vendor == "Amazon EC2":
		return "ec2"
	case product == "Google Compute Engine" || vendor == "Google" && strings.HasPrefix(product, "Google Compute"):
		return "gce"
	case asset == "7783-7084-3265-9085-8269-3286-77":
		return "azure"
	case vendor == "Hetzner":
		return "hetzner"
	case vendor == "DigitalOcean":
		return "digitalocean"
	case vendor == "Vultr":
		return "vultr"
	case vendor == "Scaleway":
		return "scaleway"
	case vendor == "UpCloud":
		return "upcloud"
	case vendor == "Exoscale" || strings.HasPrefix(product, "Exoscale"):
		return "exoscale"
	case vendor == "Akamai" || vendor == "Linode":
		return "akamai"
	case strings.HasPrefix(asset, "OracleCloud"):
		return "oracle"
	case strings.HasPrefix(product, "Alibaba Cloud"):
		return "aliyun"
	case strings.HasPrefix(product, "OpenStack") || strings.HasPrefix(asset, "OpenStack") || asset == "HUAWEICLOUD" || asset == "OpenTelekomCloud" || strings.HasPrefix(asset, "SAP CCloud"):
		return "openstack"
	case strings.HasPrefix(product, "CloudStack"):
		return "cloudstack"
	case strings.HasPrefix(product, "SmartDC"):
		return "smartos"
	}
	return ""
}

// platforms maps cloud-init's datasources that stand for a platform to its name.
// NoCloud, ConfigDrive, LXD, VMware, OVF and None are not among them: these are
// how labs, Multipass and Vagrant boxes are seeded, once, by whoever owns the
// machine, and nobody watches over the network afterwards.
var platforms = map[string]string{
	"ec2": "ec2", "aws": "ec2", "gce": "gce", "azure": "azure", "hetzner": "hetzner", "digitalocean": "digitalocean",
	"vultr": "vultr", "scaleway": "scaleway", "upcloud": "upcloud", "exoscale": "exoscale", "akamai": "akamai",
	"oracle": "oracle", "aliyun": "aliyun", "openstack": "openstack", "cloudstack": "cloudstack", "smartos": "smartos",
	"rbxcloud": "rbxcloud", "maas": "maas", "opennebula": "opennebula", "ibmcloud": "ibmcloud", "nwcs": "nwcs",
	"bigstep": "bigstep", "altcloud": "altcloud", "cloudsigma": "cloudsigma", "cloudcix": "cloudcix",
}

// inCharge decides whether a platform runs this machine's network: its own agent
// runs here, or cloud-init renders the network from the platform's datasource, or
// it does so from another source on the platform's hardware (a ConfigDrive on
// OpenStack). Hardware alone proves nothing: a plain image on a cloud machine is
// its owner's.
func inCharge(dmi string, c CloudInit, agents []string) string {
	if len(agents) > 0 {
		if dmi != "" {
			return dmi
		}
		return agents[0]
	}
	if !c.Installed || c.Disabled || !c.Renders {
		return ""
	}
	ds := strings.ToLower(c.Datasource)
	if p := platforms[ds]; p != "" {
		return p
	}
	if dmi != "" && ds != "" && ds != "none" && ds != "nocloud" {
		return dmi
	}
	return ""
}

// cloudAgent names the platform whose guest agent a process is, if the agent
// configures the network.
func cloudAgent(comm string) string {
	switch comm {
	case "google_guest_ag": // google_guest_agent, cut to 15 bytes
		return "gce"
	case "waagent", "WALinuxAgent":
		return "azure"
	case "ec2net", "ec2-net-utils":
		return "ec2"
	}
	return ""
}

// cniAgent names the container network whose agent a process is. Agents live in
// containers with the host's network, so their PID namespace does not matter.
func cniAgent(comm string) string {
	switch comm {
	case "kubelet", "k3s", "k3s-server", "k3s-agent", "rke2", "k0s":
		return "kubernetes"
	case "aws-k8s-agent", "ipamd":
		return "aws-vpc-cni"
	case "calico-node", "felix", "bird6":
		return "calico"
	case "cilium-agent":
		return "cilium"
	case "flanneld":
		return "flannel"
	case "kube-router":
		return "kube-router"
	case "antrea-agent":
		return "antrea"
	case "ovnkube", "ovn-controller":
		return "ovn-kubernetes"
	case "weaver":
		return "weave"
	case "azure-vnet", "azure-cns":
		return "azure-vnet"
	}
	return ""
}

// cniDirs are where container runtimes and distributions of Kubernetes look for
// network configurations.
var cniDirs = []string{"/etc/cni/net.d", "/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/rke2/agent/etc/cni/net.d", "/var/snap/microk8s/current/args/cni-network"}

// cni names the container network in charge and the evidence for it. A
// configuration alone is what Podman's package leaves; an agent or an interface of
// the network must be there too.
func (r *gathering) cni(ps processes) string {
	agent := ""
	for _, p := range ps {
		if a := cniAgent(p.Comm); a != "" && p.Ours && (agent == "" || agent == "kubernetes") {
			agent = a
		}
	}
	link := ""
	for _, l := range r.f.Links {
		if n := cniLink(l); n != "" {
			link = l.Name
			break
		}
	}
	if agent == "" && link == "" {
		return ""
	}
	for _, dir := range cniDirs {
		for _, n := range r.list(dir) {
			if !strings.HasSuffix(n, ".conf") && !strings.HasSuffix(n, ".conflist") {
				continue
			}
			p := path.Join(dir, n)
			b, err := r.t.ReadFile(p, maxState)
			if err != nil {
				r.problem(p, err)
				continue
			}
			name := cniPlugin(b)
			if name == "podman" || name == "" && agent == "" {
				continue
			}
			if name == "" {
				name = agent
			}
			return clean(name) + ": " + p
		}
	}
	// Agents hide their configuration from others than root; they are proof enough,
	// a bridge that somebody called cni0 is not.
	if agent != "" {
		return agent + ": running agent"
	}
	return ""
}

// cniPlugin is the name of the network in a CNI configuration (cni.dev, spec).
func cniPlugin(b []byte) string {
	var c struct {
		Name    string `json:"name"`
		Type    string `json:"type"`
		Plugins []struct {
			Type string `json:"type"`
		} `json:"plugins"`
	}
	if json.Unmarshal(b, &c) != nil {
		return ""
	}
	if c.Name != "" {
		return c.Name
	}
	if len(c.Plugins) > 0 {
		return c.Plugins[0].Type
	}
	return c.Type
}

// cniLink names the container network that makes links of this name and kind.
func cniLink(l Link) string {
	prefix := func(p string) bool { return strings.HasPrefix(l.Name, p) }
	switch {
	case prefix("flannel."), prefix("flannel-"):
		return "flannel"
	case prefix("cilium_"), prefix("lxc_health"):
		return "cilium"
	case prefix("vxlan.calico"):
		return "calico"
	case prefix("cali") && l.Kind == "veth":
		return "calico"
	case prefix("eni") && l.Kind == "veth":
		return "aws-vpc-cni"
	case prefix("kube-ipvs"), prefix("kube-bridge"), prefix("nodelocaldns"):
		return "kubernetes"
	case l.Name == "cni0" && l.Kind == "bridge":
		return "cni"
	case prefix("antrea-gw"):
		return "antrea"
	case prefix("ovn-k8s-"):
		return "ovn-kubernetes"
	case l.Name == "weave" && l.Kind == "bridge":
		return "weave"
	}
	return ""
}
