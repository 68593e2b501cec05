require "digest"
require "tmpdir"
require_relative "guest"
require_relative "programs"

module VagrantPlugins
  module ProvisionPlugin
    # Provisioner uploads the program for the guest's architecture, unless the guest has it, and the configuration, and has
    # provision.sh do the rest.
    class Provisioner < Vagrant.plugin("2", :provisioner)
      SCRIPT = File.expand_path("../../provision.sh", __dir__).freeze
      INSTALLED = "/usr/local/bin/provision".freeze

      def provision
        guest = Guest.new(@machine)
        cpu = guest.ask("uname -m") or raise Failed, "provision: the guest does not say what it is (uname -m): is it a Unix?"
        arch = Programs.architecture(cpu) or raise Failed, "provision: there is no program for a guest that is #{cpu}"
        program = Programs.find(arch, config.program, @machine.env.root_path, @machine.env.home_path)
        same = program && guest.ask("sha256sum #{INSTALLED}").to_s.split.first == Digest::SHA256.file(program).hexdigest
        if program.nil? && guest.ask("test -x #{INSTALLED}").nil?
          places = Programs.candidates(arch, config.program, @machine.env.root_path, @machine.env.home_path).first(3)
          raise Failed, "provision: there is no provision-linux-#{arch} for the guest; looked for #{places.join(', ')}.\n" \
                                 "Put it there, or name it: config.vm.provision :provision, program: \"FILE\""
        end
        folder = guest.ask("mktemp -d /tmp/provision-XXXXXX") or raise Failed, "provision: the guest has no room in /tmp"
        begin
          upload(folder, same ? nil : program, arch)
          words = [folder, *config.arguments].map { |w| Shellwords.escape(w) }.join(" ")
          status = guest.tell("sh #{folder}/provision.sh #{words}")
          raise Failed, "provision apply failed in the guest (status #{status}); the lines above say why." unless status == 0
        ensure
          @machine.communicate.execute("rm -rf #{folder}", error_check: false)
        end
      end

      private

      def upload(folder, program, arch)
        if program
          @machine.ui.detail("provision: uploading #{program}")
          @machine.communicate.upload(program, "#{folder}/provision-linux-#{arch}")
        end
        Dir.mktmpdir("provision") do |d|
          files = {"provision.sh" => File.read(SCRIPT, mode: "rb").delete("\r")}
          text = config.text(@machine.env.root_path)
          files["provision.yaml"] = text if text
          files.each do |name, content|
            local = File.join(d, name)
            File.write(local, content, mode: "wb", perm: 0o600) # a configuration may hold a key
            @machine.communicate.upload(local, "#{folder}/#{name}")
          end
        end
      end
    end
  end
end
