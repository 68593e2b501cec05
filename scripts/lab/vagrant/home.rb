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

# With KERNEL the machines are virtual (vagrant-libvirt), and their boxes have no boot loader: see the script box.
if ENV["KERNEL"]
  require "vagrant-libvirt/action"
  VagrantPlugins::ProviderLibvirt::Action::CreateNetworks.prepend(Module.new {
    def call(env)
      env[:machine].config.vm.networks.each { |type, o| o.update(dev: "br-lan", mode: "bridge", type: "bridge") if type == :public_network }
      super
    end
  })
end

Vagrant.configure("2") do |config|
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider :lxc do |v|
    v.backingstore = "dir"
    # Where the kernel has no WireGuard its device is a process.
    v.customize "mount.entry", "/dev/net/tun dev/net/tun none bind,create=file"
    v.customize "cgroup2.devices.allow", "c 10:200 rwm"
  end
  config.vm.provider :libvirt do |v|
    config.vm.boot_timeout = 900
    v.default_prefix = ""
    v.driver = "qemu"
    v.machine_type, v.cpu_mode, v.cpu_model, v.cpus, v.memory = "q35", "custom", "qemu64", 2, 768
    v.kernel, v.initrd = ENV["KERNEL"], ENV["INITRD"]
    v.cmd_line = "console=ttyS0 mitigations=off no_timer_check net.ifnames=0 quiet"
    v.graphics_type = v.video_type = "none"
  end
end
