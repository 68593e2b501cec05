# The plugin's own tests, without a machine: ruby -I lib test/all.rb
# They need Vagrant as a library (Debian: packages vagrant and ruby). What they leave to the real Vagrant is in scripts/lab/vagrant.
require "minitest/autorun"
require "tmpdir"
require "fileutils"
require "vagrant"
require "vagrant-provision"
%w[config provisioner generalize].each { |f| require "vagrant-provision/#{f}" }

# FakeGuest answers commands as a guest would, and keeps what was uploaded.
class FakeGuest
  attr_reader :commands, :uploads
  attr_accessor :cpu, :status, :installed

  def initialize
    @cpu, @status, @installed, @commands, @uploads = "x86_64", 0, nil, [], {}
  end

  def execute(command, **_opts)
    @commands << command
    case command
    when "uname -m" then yield :stdout, "#{@cpu}\n"
    when /\Asha256sum/
      return 1 unless @installed
      yield :stdout, "#{@installed}  /usr/local/bin/provision\n"
    when /\Atest -x/ then return @installed ? 0 : 1
    when /\Amktemp/ then yield :stdout, "/tmp/provision-abc123\n"
    when /\Arm -rf/ then nil
    else raise "the guest knows no #{command}"
    end
    0
  end

  def sudo(command, **_opts)
    @commands << "sudo #{command}"
    yield :stdout, "done and ver"
    yield :stdout, "ified\nsecond line\n"
    @status
  end

  def upload(from, to)
    @uploads[to] = File.read(from, mode: "rb")
  end
end

# FakeMachine is as much of a machine as the plugin asks for.
class FakeMachine
  Said = Struct.new(:lines) do
    def detail(line, **_o) = lines << line
    alias_method :info, :detail
  end
  Env = Struct.new(:root_path, :home_path)
  State = Struct.new(:id)
  attr_reader :communicate, :ui, :env, :provisioners
  attr_accessor :state

  def initialize(root)
    @communicate, @ui, @env = FakeGuest.new, Said.new([]), Env.new(root, File.join(root, "home"))
    @provisioners, @state = [], State.new(:running)
  end

  def config = self
  def vm = self
end

def settled(**options)
  VagrantPlugins::ProvisionPlugin::Config.new.tap do |c|
    c.set_options(options)
    c.finalize!
  end
end
