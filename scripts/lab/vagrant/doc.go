// Package vagrant has Debian's Vagrant make machines and change their network: the provisioner in both of its forms, the plugin's own
// tests in Ruby, the examples, and boxes made of machines that have forgotten who they were. The machines are containers
// (vagrant-lxc) in namespaces of the script world, and in full mode virtual ones too (vagrant-libvirt, the script libvirt); their box is
// made by the script box.
package vagrant
