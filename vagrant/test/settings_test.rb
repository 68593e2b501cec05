require_relative "helper"

class SettingsTest < Minitest::Test
  S = VagrantPlugins::ProvisionPlugin::Settings

  def test_options_become_keys_of_network
    assert_equal "version: 1\nnetwork:\n  nat-metric: 1000\n  dns: demote\n", S.yaml({nat_metric: 1000, dns: :demote}, nil)
  end

  def test_without_anything_the_guests_file_stays
    assert_nil S.yaml({}, nil)
    assert_nil S.yaml({}, {})
  end

  def test_settings_go_along_and_names_stay
    text = S.yaml({bring_up: false}, {network: {nics: [{match: {name: "eth_1"}, route_metric: 5}]}, routing: {zones: {"my_lan" => {interfaces: ["eth1"]}}}})
    assert_equal({"version" => 1, "network" => {"nics" => [{"match" => {"name" => "eth_1"}, "route-metric" => 5}], "bring-up" => false},
                  "routing" => {"zones" => {"my_lan" => {"interfaces" => ["eth1"]}}}}, YAML.safe_load(text))
  end

  def test_twice_is_refused
    e = assert_raises(ArgumentError) { S.yaml({nat_metric: 1}, {network: {nat_metric: 2}}) }
    assert_match(/nat-metric is given twice/, e.message)
  end
end
