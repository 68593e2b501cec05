module VagrantPlugins
  module Provision
    VERSION = "0.1.0".freeze
  end
end
