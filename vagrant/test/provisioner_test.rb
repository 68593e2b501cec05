require_relative "helper"

class ProvisionerTest < Minitest::Test
  def setup
    @dir = Dir.mktmpdir
    @machine = FakeMachine.new(@dir)
    @guest = @machine.communicate
    File.write("#{@dir}/provision-linux-amd64", "program")
  end

  def teardown = FileUtils.rm_rf(@dir)

  def provision(**options) = VagrantPlugins::ProvisionPlugin::Provisioner.new(@machine, settled(program: @dir, **options)).provision

  def test_uploads_runs_and_cleans
    provision(nat_metric: 1000, arguments: ["--settle", "20 s"])
    assert_equal %w[provision-linux-amd64 provision.sh provision.yaml], @guest.uploads.keys.map { |f| File.basename(f) }.sort
    assert_equal "version: 1\nnetwork:\n  nat-metric: 1000\n", @guest.uploads["/tmp/provision-abc123/provision.yaml"]
    refute_includes @guest.uploads["/tmp/provision-abc123/provision.sh"], "\r"
    assert_includes @guest.commands, 'sudo sh /tmp/provision-abc123/provision.sh /tmp/provision-abc123 --settle 20\ s'
    assert_equal "rm -rf /tmp/provision-abc123", @guest.commands.last
    assert_equal ["done and verified", "second line"], @machine.ui.lines.last(2)
  end

  def test_what_the_guest_has_is_not_uploaded
    @guest.installed = Digest::SHA256.hexdigest("program")
    provision
    assert_equal ["/tmp/provision-abc123/provision.sh"], @guest.uploads.keys
    @guest.installed = Digest::SHA256.hexdigest("an older one")
    provision
    assert_includes @guest.uploads.keys, "/tmp/provision-abc123/provision-linux-amd64"
  end

  def test_a_file_goes_along_byte_for_byte
    File.write("#{@dir}/my.yaml", "version: 1\r\n# \u00e9\r\n")
    provision(file: "my.yaml")
    assert_equal File.binread("#{@dir}/my.yaml"), @guest.uploads["/tmp/provision-abc123/provision.yaml"]
  end

  def test_failures_say_what_to_do
    @guest.cpu = "riscv64"
    assert_match(/no program for a guest that is riscv64/, assert_raises(VagrantPlugins::ProvisionPlugin::Failed) { provision }.message)
    @guest.cpu = "aarch64"
    e = assert_raises(VagrantPlugins::ProvisionPlugin::Failed) { provision }
    assert_match(/no provision-linux-arm64 for the guest; looked for #{@dir}/, e.message)
    @guest.cpu, @guest.status = "x86_64", 3
    assert_match(/status 3/, assert_raises(VagrantPlugins::ProvisionPlugin::Failed) { provision }.message)
    assert_equal "rm -rf /tmp/provision-abc123", @guest.commands.last, "the upload is taken away after a failure"
  end
end
