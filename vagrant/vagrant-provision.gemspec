require_relative "lib/vagrant-provision/version"

Gem::Specification.new do |s|
  s.name = "vagrant-provision"
  s.version = VagrantPlugins::ProvisionPlugin::VERSION
  s.summary = "Vagrant provisioner that makes a guest's network right with provision"
  s.description = "Uploads the program for the guest's architecture from the host, with its configuration, and runs `provision apply`; " \
                  "forgets the machine's identity before `vagrant package`."
  s.authors = ["provision maintainers"]
  s.homepage = "https://github.com/provision-net/provision"
  s.license = "Apache-2.0"
  s.required_ruby_version = ">= 2.7"
  s.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb"].sort + ["provision.sh"] }
  s.require_paths = ["lib"]
end
