# The Vagrantfile of a user (~/.vagrant.d), which Vagrant reads before the one of a project: with it vagrant-lxc does what VirtualBox does
# with a project's networks. A NIC for each, on the bridges of the script world, before the boot; their configuration, by Vagrant's own
# code for guests, after it (VagrantPlugins::ProviderVirtualBox::Action::Network); and forwarded ports of UDP, which redir(1) has not.
require "vagrant-lxc/action"

Vagrant::LXC::Action::PrivateNetworks.prepend(Module.new {
  def call(env)
    bridges = {public_network: "br-lan", private_network: "br-only"}
    nics = env[:machine].config.vm.networks.select { |type, _| bridges.key?(type) }
    nics.each.with_index(1) do |(type, _), n|
      {type: "veth", link: bridges[type], flags: "up", name: "eth#{n}"}.each { |k, v| env[:machine].provider_config.customize("net.#{n}.#{k}", v) }
    end
    @app.call(env)
    networks = nics.each.with_index(1).map do |(_, o), n|
      {interface: n, type: o[:ip] ? :static : :dhcp, ip: o[:ip], netmask: "255.255.255.0"}
    end
    env[:machine].guest.capability(:configure_networks, networks) unless networks.empty?
  end
})
# The bridges are not the machine's to take away.
Vagrant::LXC::Action::GcPrivateNetworkBridges.prepend(Module.new { def call(env) = @app.call(env) })
# It warns that there are no public networks.
Vagrant::LXC::Action::WarnNetworks.prepend(Module.new { def public_network_configured?(_) = false })

Vagrant::LXC::Action::ForwardPorts.prepend(Module.new {
  def forward_ports
    udp, @env[:forwarded_ports] = @env[:forwarded_ports].partition { |fp| fp[:protocol] == "udp" }
    udp.each do |fp|
      guest = "#{@env[:machine].provider.ssh_info[:host]}:#{fp[:guest]}"
      IO.popen(["nft", "-f", "-"], "w") do |nft|
        nft.puts "table ip forwarded {", "chain in { type nat hook prerouting priority dstnat; udp dport #{fp[:host]} dnat to #{guest}; }",
                 "chain out { type nat hook postrouting priority srcnat; oifname lxcbr0 masquerade; }", "}"
      end
      raise "nft does not forward #{fp}" unless $?.success?
    end
    super
  end
})

Vagrant.configure("2") do |config|
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider :lxc do |v|
    v.backingstore = "dir"
    # Where the kernel has no WireGuard its device is a process.
    v.customize "mount.entry", "/dev/net/tun dev/net/tun none bind,create=file"
    v.customize "cgroup2.devices.allow", "c 10:200 rwm"
  end
end
