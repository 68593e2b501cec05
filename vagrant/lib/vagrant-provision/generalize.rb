require_relative "guest"

module VagrantPlugins
  module ProvisionPlugin
    # Generalize runs `provision generalize` in a guest before a box is made of it, where the Vagrantfile has the provisioner.
    class Generalize
      # What runs would write its state again when it ends.
      COMMAND = "systemctl stop provision-serve provision-watch provision-gadget 2>/dev/null; " \
                "PATH=$PATH:/usr/local/bin:/usr/bin provision generalize --color never".freeze

      def initialize(app, _env)
        @app = app
      end

      def call(env)
        machine = env[:machine]
        wanted = machine.config.vm.provisioners.select { |p| p.type.to_sym == :provision }
        generalize(machine) if !wanted.empty? && wanted.all? { |p| p.config.generalize }
        @app.call(env)
      end

      private

      def generalize(machine)
        case machine.state.id
        when :not_created then return
        when :running
          machine.ui.info("Running provision generalize...")
          return if Guest.new(machine).tell(COMMAND) == 0

          raise Failed, "provision generalize failed in the guest, so no box was made: every machine of it would be the same one.\n" \
                                 "The lines above say why; `generalize: false` in the Vagrantfile packages it all the same."
        else
          raise Failed, "the machine is off, so it cannot forget who it is, and every machine of the box would be the same one.\n" \
                                 "`vagrant up --no-provision` first, or say `generalize: false` in the Vagrantfile."
        end
      end
    end
  end
end
