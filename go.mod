module github.com/provision-net/provision

go 1.26
