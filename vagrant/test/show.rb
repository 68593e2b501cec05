# show.rb FOLDER : prints, as JSON, the machines of the Vagrantfile in FOLDER: {name: {yaml: text of provision.yaml, env: of shell provisioners}}.
# It is a process of its own because a Vagrantfile may load another copy of the plugin.
require "json"
require "vagrant"

dir = ARGV.fetch(0)
env = Vagrant::Environment.new(cwd: dir, home_path: File.join(dir, "home"), ui_class: Vagrant::UI::Silent)
puts JSON.generate(env.machine_names.to_h { |m|
  ps = env.vagrantfile.machine_config(m, nil, nil)[:config].vm.provisioners
  ours = ps.select { |p| p.type == :provision }
  raise "#{m}: #{ours.size} provisioners of ours" unless ours.size == 1

  [m, {yaml: ours.first.config.text(dir), env: ps.select { |p| p.type == :shell }.map { |p| p.config.env }.reduce({}, :merge)}]
})
