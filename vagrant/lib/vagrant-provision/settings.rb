require "yaml"

module VagrantPlugins
  module ProvisionPlugin
    # Settings makes the text of provision.yaml out of what a Vagrantfile says. It knows the names of the keys of `network` only to
    # allow them as options; what they mean, and whether a value is good, is judged in the guest by `provision validate`.
    module Settings
      # Options of the provisioner that are keys of `network`, with - instead of _.
      NETWORK = %i[nat_metric first_metric dns lazy allow_gap bring_up nics].freeze

      # yaml returns the text, or nil where nothing is configured. network holds options that were given; settings is the whole
      # configuration as a Hash, or nil. A key that both give is an ArgumentError.
      def self.yaml(network, settings)
        return nil if network.empty? && (settings.nil? || settings.empty?)

        whole = {"version" => 1}.merge(plain(settings || {}))
        plain(network).each do |key, value|
          slice = (whole["network"] ||= {})
          raise ArgumentError, "settings: network is no Hash" unless slice.is_a?(Hash)
          raise ArgumentError, "#{key} is given twice: as an option and in settings" if slice.key?(key)

          slice[key] = value
        end
        YAML.dump(whole).delete_prefix("---\n")
      end

      # plain writes the keys that are symbols as the configuration spells them (nat_metric: nat-metric), at any depth; keys that are
      # strings are names, and stay.
      def self.plain(value)
        case value
        when Hash
          value.to_h { |k, v| [k.is_a?(Symbol) ? k.to_s.tr("_", "-") : k.to_s, plain(v)] }
        when Array then value.map { |v| plain(v) }
        when Symbol then value.to_s
        else value
        end
      end
    end
  end
end
