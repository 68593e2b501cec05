require "vagrant"
require_relative "vagrant-provision/version"

module VagrantPlugins
  # The provisioner :provision, and what `vagrant package` does before it makes a box:
  #
  #   config.vm.provision :provision, nat_metric: 1000
  #
  # It is not called Provision: providers (VirtualBox, libvirt and others) write `use Provision` inside of VagrantPlugins for Vagrant's
  # own step of that name, and Ruby would find this module first.
  module ProvisionPlugin
    class Plugin < Vagrant.plugin("2")
      name "provision"
      description "Makes a guest's network right with provision, without a download."

      config(:provision, :provisioner) do
        require_relative "vagrant-provision/config"
        Config
      end

      provisioner(:provision) do
        require_relative "vagrant-provision/provisioner"
        Provisioner
      end

      action_hook(:provision_generalize, :machine_action_package) do |hook|
        require_relative "vagrant-provision/generalize"
        hook.prepend(Generalize)
      end
    end
  end
end
