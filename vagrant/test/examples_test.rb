require_relative "helper"
require "json"
require "open3"

# The configurations that the examples make are judged by the program itself: PROVISION names it.
class ExamplesTest < Minitest::Test
  ROOT = File.expand_path("..", __dir__)

  def machines(name)
    Dir.mktmpdir do |d|
      %w[lib examples].each { |p| FileUtils.cp_r(File.join(ROOT, p), d) }
      out, err, status = Open3.capture3("ruby", File.join(__dir__, "show.rb"), File.join(d, "examples", name))
      assert status.success?, err
      yield JSON.parse(out), d
    end
  end

  Dir[File.join(ROOT, "examples", "*", "Vagrantfile")].sort.each do |f|
    name = File.basename(File.dirname(f))
    define_method("test_#{name}") do
      program = ENV["PROVISION"] or skip "PROVISION names no program that could judge"
      machines(name) do |ms, d|
        assert_equal(name == "overlay" ? 5 : 1, ms.size)
        ms.each_value do |m|
          next unless m["yaml"]

          file = File.join(d, "provision.yaml")
          File.write(file, m["yaml"])
          out, status = Open3.capture2e(program, "validate", file)
          assert status.success?, "#{m["yaml"]}\n#{out}"
        end
      end
    end
  end

  # A node refuses a key that is another node's: what the example calls public must be the public half as wg(8) sees it.
  def test_overlay_keys
    skip "there is no wg to judge the keys" unless system("wg --version", out: File::NULL, err: File::NULL)
    machines("overlay") do |ms, _d|
      ms.each do |name, m|
        out, status = Open3.capture2("wg", "pubkey", stdin_data: m["env"]["KEY"] + "\n")
        assert status.success?
        assert_equal YAML.safe_load(m["yaml"])["routing"]["overlay"]["nodes"][name]["public-key"], out.strip, name
      end
    end
  end
end
