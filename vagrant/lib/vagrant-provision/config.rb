require_relative "settings"

module VagrantPlugins
  module ProvisionPlugin
    # Config is what may stand after `config.vm.provision :provision,`.
    class Config < Vagrant.plugin("2", :config)
      Settings::NETWORK.each { |o| attr_accessor o }

      # file is a provision.yaml on the host, from the folder of the Vagrantfile on; the options and settings are then not used.
      attr_accessor :file
      # settings is a whole configuration as a Hash.
      attr_accessor :settings
      # program is the program for the guest, or a folder with provision-linux-ARCH.
      attr_accessor :program
      # arguments of `provision apply`, such as ["--settle", "30s"].
      attr_accessor :arguments
      # generalize: false keeps `vagrant package` from running `provision generalize`.
      attr_accessor :generalize

      OWN = %i[file settings program arguments generalize].freeze

      def initialize
        (Settings::NETWORK + OWN).each { |o| instance_variable_set("@#{o}", UNSET_VALUE) }
      end

      def finalize!
        (Settings::NETWORK + OWN).each do |o|
          instance_variable_set("@#{o}", nil) if instance_variable_get("@#{o}") == UNSET_VALUE
        end
        @arguments = Array(@arguments).map(&:to_s)
        @generalize = true if @generalize.nil?
      end

      # network are the options that were given.
      def network
        Settings::NETWORK.to_h { |o| [o, instance_variable_get("@#{o}")] }.reject { |_, v| v.nil? }
      end

      # text is the guest's provision.yaml, or nil: what is in the guest stays.
      def text(root)
        return File.read(File.expand_path(@file, root.to_s), mode: "rb") if @file

        Settings.yaml(network, @settings)
      end

      def validate(machine)
        errors = _detected_errors
        %i[nat_metric first_metric].each do |o|
          v = network[o]
          errors << "#{o} is a metric, a whole number from 1 to 4294967295, not #{v.inspect}" unless v.nil? || (v.is_a?(Integer) && v.between?(1, 4294967295))
        end
        errors << "dns is \"keep\" or \"demote\", not #{@dns.inspect}" unless @dns.nil? || %w[keep demote].include?(@dns.to_s)
        %i[lazy allow_gap bring_up].each do |o|
          errors << "#{o} is true or false, not #{network[o].inspect}" unless network[o].nil? || [true, false].include?(network[o])
        end
        errors << "settings is a Hash, not a #{@settings.class}" unless @settings.nil? || @settings.is_a?(Hash)
        if @file
          errors << "file: there is no #{@file}" unless File.file?(File.expand_path(@file, machine.env.root_path.to_s))
          errors << "file and #{(network.keys + (@settings ? [:settings] : [])).join(', ')} exclude each other: write into the file what they say" if @settings || !network.empty?
        elsif errors.empty?
          begin
            Settings.yaml(network, @settings)
          rescue ArgumentError => e
            errors << e.message
          end
        end
        if @program && !File.exist?(File.expand_path(@program, machine.env.root_path.to_s))
          errors << "program: there is no #{@program}"
        end
        {"provision provisioner" => errors}
      end
    end
  end
end
