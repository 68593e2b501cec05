require_relative "helper"
require Vagrant.source_root.join("plugins/providers/virtualbox/plugin").to_s
require Vagrant.source_root.join("plugins/providers/virtualbox/action").to_s

class NamesTest < Minitest::Test
  # Every constant of VagrantPlugins is seen by the providers, which name Vagrant's own steps by their last word only.
  def test_a_provider_finds_vagrants_own_step
    steps = VagrantPlugins::ProviderVirtualBox::Action.action_boot.stack.map { |item| item.respond_to?(:middleware) ? item.middleware : item.first }
    assert_includes steps, Vagrant::Action::Builtin::Provision
  end

  def test_no_constant_hides_a_step_of_vagrant
    assert_empty VagrantPlugins.constants & Vagrant::Action::Builtin.constants
  end
end
