require "shellwords"
require "vagrant/util/line_buffer"

module VagrantPlugins
  module ProvisionPlugin
    # Failed ends a command of Vagrant with this text, and no trace.
    class Failed < Vagrant::Errors::VagrantError
      attr_reader :error_message

      def initialize(text)
        @error_message = text
        super()
      end
    end

    # Guest runs commands in a machine.
    class Guest
      def initialize(machine)
        @machine = machine
      end

      # ask returns what a command prints, without the line end; nil where it fails.
      def ask(command)
        out = +""
        status = @machine.communicate.execute(command, error_check: false) { |stream, data| out << data if stream == :stdout }
        status == 0 ? out.strip : nil
      end

      # tell runs a command as root, shows what it prints line by line, and returns its status.
      def tell(command)
        lines = {stdout: :green, stderr: :red}.transform_values do |color|
          Vagrant::Util::LineBuffer.new { |l| @machine.ui.detail(l.chomp, color: color) }
        end
        @machine.communicate.sudo(command, error_check: false) { |stream, data| lines[stream] << data if lines[stream] }
      ensure
        lines&.each_value(&:close)
      end
    end
  end
end
