# The Vagrantfile of a user (~/.vagrant.d), which Vagrant reads before the one of a project: its machines are emulated, have the lab's
# kernel (KERNEL, INITRD) and are on the bridges of the script world; the NIC by which Vagrant comes in is vagrant-libvirt's own.
Vagrant.configure("2") do |config|
  config.vm.class.prepend(Module.new {
    def network(type, **options)
      bridge = type.to_sym == :public_network ? {dev: "br-lan", mode: "bridge", type: "bridge"} : {}
      super(type, **bridge, **options)
    end
  })
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.boot_timeout = 900
  config.vm.provider :libvirt do |v|
    v.default_prefix = ""
    v.driver = "qemu"
    v.machine_type, v.cpu_mode, v.cpu_model, v.cpus, v.memory = "q35", "custom", "qemu64", 2, 768
    v.kernel, v.initrd = ENV.fetch("KERNEL"), ENV.fetch("INITRD")
    v.cmd_line = "console=ttyS0 mitigations=off no_timer_check net.ifnames=0 quiet"
    v.graphics_type = v.video_type = "none"
  end
end
