require_relative "helper"

class ProgramsTest < Minitest::Test
  P = VagrantPlugins::ProvisionPlugin::Programs

  # The plugin and the script in the guest must name the same program.
  def test_architectures_are_those_of_the_script
    text = File.read(VagrantPlugins::ProvisionPlugin::Provisioner::SCRIPT)
    function = text[/^architecture\(\) \{.*?^\}/m]
    %w[x86_64 amd64 aarch64 arm64 armv6l armv7l armv8l i386 i686].each do |cpu|
      said = IO.popen(["sh", "-c", "#{function}\narchitecture #{cpu}"], &:read).strip
      assert_equal said, P.architecture(cpu), cpu
    end
    %w[riscv64 s390x i86pc ppc64le].each { |cpu| assert_nil P.architecture(cpu), cpu }
  end

  def test_places
    Dir.mktmpdir do |d|
      find = ->(given, **o) { P.find("arm64", given, d, "#{d}/home", o.fetch(:path, ""), o.fetch(:os, "darwin22"), o.fetch(:cpu, "aarch64")) }
      assert_nil find.(nil)
      put = ->(f) { FileUtils.mkdir_p(File.dirname("#{d}/#{f}")); File.write("#{d}/#{f}", ""); "#{d}/#{f}" }
      bin = put.("bin/provision")
      assert_nil find.(nil, path: "#{d}/bin"), "a Mac's program is none for a Linux guest"
      assert_equal bin, find.(nil, path: "#{d}/bin", os: "linux-gnu")
      assert_nil find.(nil, path: "#{d}/bin", os: "linux-gnu", cpu: "x86_64")
      home = put.("home/provision/provision-linux-arm64")
      assert_equal home, find.(nil, path: "#{d}/bin", os: "linux-gnu")
      dist = put.("dist/provision-linux-arm64")
      assert_equal dist, find.(nil)
      beside = put.("provision-linux-arm64")
      assert_equal beside, find.(nil)
      assert_equal dist, find.("dist")
      assert_equal bin, find.("bin/provision")
      assert_nil find.("home"), "what is named and not there is not replaced by another one"
    end
  end
end
