require "rbconfig"

module VagrantPlugins
  module ProvisionPlugin
    # Programs finds, on the host, the program for a guest.
    module Programs
      # architecture returns the name that programs have for what `uname -m` says, as provision.sh does; nil for what there is no
      # program for.
      def self.architecture(machine)
        case machine
        when "x86_64", "amd64" then "amd64"
        when "aarch64", "arm64" then "arm64"
        when /\Aarmv[67]/, "armv8l" then "armv6"
        when /\Ai[3-6]86\z/ then "386"
        end
      end

      # candidates are the places that are looked at, in this order: what the Vagrantfile names (a program or a folder), the
      # folder of the Vagrantfile, dist below it (a checkout that was built), the folder of Vagrant itself (~/.vagrant.d/provision).
      # On a Linux host of the guest's architecture the host's own program will do as well.
      def self.candidates(arch, given, root, home, path = ENV["PATH"], host_os = RbConfig::CONFIG["host_os"], host_cpu = RbConfig::CONFIG["host_cpu"])
        name = "provision-linux-#{arch}"
        if given
          given = File.expand_path(given, root.to_s)
          return [File.directory?(given) ? File.join(given, name) : given]
        end
        found = [File.join(root.to_s, name), File.join(root.to_s, "dist", name), File.join(home.to_s, "provision", name)]
        if host_os.start_with?("linux") && architecture(host_cpu) == arch
          found += path.to_s.split(File::PATH_SEPARATOR).map { |d| File.join(d, "provision") }
        end
        found
      end

      # find returns the first candidate that is a file, or nil.
      def self.find(*args)
        candidates(*args).find { |f| File.file?(f) }
      end
    end
  end
end
