module VagrantPlugins
  module ProvisionPlugin
    VERSION = "0.1.0".freeze
  end
end
