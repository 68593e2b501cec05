require_relative "helper"

class ConfigTest < Minitest::Test
  def errors(**options)
    Dir.mktmpdir do |d|
      File.write("#{d}/there.yaml", "version: 1\n")
      settled(**options).validate(FakeMachine.new(d)).fetch("provision provisioner")
    end
  end

  def test_good
    assert_empty errors
    assert_empty errors(nat_metric: 1000, first_metric: 20, dns: "demote", lazy: true, allow_gap: false, bring_up: true, nics: [], settings: {routing: {}})
    assert_empty errors(file: "there.yaml", arguments: ["--settle", "30s"], generalize: false)
  end

  def test_bad
    {
      {nat_metric: "1000"} => /nat_metric is a metric/, {nat_metric: 0} => /from 1 to/, {first_metric: 4294967296} => /first_metric/,
      {dns: "off"} => /dns is "keep" or "demote"/, {lazy: "yes"} => /lazy is true or false/, {settings: "routing"} => /settings is a Hash/,
      {file: "missing.yaml"} => /there is no missing.yaml/, {file: "there.yaml", nat_metric: 5} => /file and nat_metric exclude each other/,
      {program: "nowhere"} => /there is no nowhere/, {nat_metric: 5, settings: {network: {"nat-metric" => 6}}} => /given twice/,
      {nat_metrik: 5} => /nat_metrik/
    }.each { |options, want| assert_match want, errors(**options).join("\n"), options.inspect }
  end
end
