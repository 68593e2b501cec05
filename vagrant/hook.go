// Package vagrant is the VM host's side of Vagrant: the script that runs in a guest, and the lines of a Vagrantfile that upload
// and run it. Beside it lie the same as a plugin (lib, in Ruby), and example Vagrantfiles.
package vagrant

import _ "embed" // the script

// Script is provision.sh: sh for the guest, with \n as line ends.
//
//go:embed provision.sh
var Script string

// Upload is the guest's folder that the lines upload to; the script takes it away again.
const Upload = "/tmp/provision-upload"

// Lines are what belongs into a Vagrantfile: it uploads the programs, the configuration and nothing else that lie beside it, and runs
// provision.sh as root.
const Lines = `  # The network made right by provision. Beside this file lie provision.sh (provision hook vagrant --script), the programs
  # for the guests that there are, such as provision-linux-amd64, and provision.yaml where there is something to configure.
  Dir.glob(File.join(__dir__, "{provision-linux-*,provision.yaml}")).sort.each do |f|
    config.vm.provision "file", source: f, destination: "` + Upload + `/#{File.basename(f)}"
  end
  config.vm.provision "shell", name: "provision", path: File.join(__dir__, "provision.sh"), args: ["` + Upload + `"]

  # vagrant package: the box must not carry what tells this machine from others.
  config.trigger.before :package do |t|
    t.info = "provision generalize"
    t.run_remote = {inline: "systemctl stop provision-serve provision-watch provision-gadget 2>/dev/null; provision generalize"}
  end
`
