package device

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
)

// Diskutil reads what macOS' diskutil(8) says: `diskutil list -plist`, and for each whole disk that it lists what info gives,
// which is `diskutil info -plist DISK`.
func Diskutil(list io.Reader, info func(disk string) (io.Reader, error)) ([]Disk, error) {
	v, err := parsePlist(list)
	if err != nil {
		return nil, fmt.Errorf("diskutil list: %w", err)
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("diskutil list: it says something else than a dictionary")
	}
	disks := dicts(root["AllDisksAndPartitions"])
	var all []Disk
	for _, e := range disks {
		id := str(e["DeviceIdentifier"])
		if !wholeName(id) || len(dicts(e["APFSPhysicalStores"])) > 0 { // a container of APFS, which lives on another disk's partition
			continue
		}
		r, err := info(id)
		if err != nil {
			return nil, err
		}
		v, err := parsePlist(r)
		if err != nil {
			return nil, fmt.Errorf("diskutil info %s: %w", id, err)
		}
		i, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("diskutil info %s: it says something else than a dictionary", id)
		}
		if str(i["VirtualOrPhysical"]) == "Virtual" || str(i["BusProtocol"]) == "Disk Image" {
			continue
		}
		d := fromInfo(id, i)
		diskutilUses(&d, e, disks)
		all = append(all, d)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	return all, nil
}

// fromInfo makes a disk of what diskutil info says of it.
func fromInfo(id string, i map[string]any) Disk {
	d := Disk{Path: "/dev/" + id, Model: str(i["MediaName"]), Block: int(num(i["DeviceBlockSize"])), Size: num(i["TotalSize"])}
	if d.Model == "" {
		d.Model = str(i["IORegistryEntryName"])
	}
	if d.Size == 0 {
		d.Size = num(i["Size"])
	}
	if d.Block < 512 {
		d.Block = 512
	}
	switch bus := str(i["BusProtocol"]); bus {
	case "Secure Digital":
		d.Bus = "sd"
	case "USB", "SATA", "NVMe":
		d.Bus = strings.ToLower(bus)
	default:
		d.Bus = bus
	}
	internal, said := i["Internal"].(bool)
	d.Removable = yes(i["RemovableMedia"]) || yes(i["Removable"])
	d.External = said && !internal
	if w, ok := i["WritableMedia"].(bool); ok {
		d.ReadOnly = !w
	}
	return d
}

// diskutilUses finds what of a disk is mounted: its volumes, and those of the containers of APFS that are on its partitions.
func diskutilUses(d *Disk, e map[string]any, all []map[string]any) {
	id := str(e["DeviceIdentifier"])
	used := func(device, at string) {
		if at == "" {
			return
		}
		// Since Catalina the system is in two volumes; all that it needs is below these.
		system := at == "/" || strings.HasPrefix(at, "/System/") || strings.HasPrefix(at, "/private/var/")
		d.Uses = append(d.Uses, Use{What: "mounted at " + at, Device: "/dev/" + device, System: system, Free: "`diskutil unmountDisk " + id + "`"})
	}
	used(id, str(e["MountPoint"])) // a disk without partitions
	parts := map[string]bool{id: true}
	for _, p := range dicts(e["Partitions"]) {
		name := str(p["DeviceIdentifier"])
		if name == "" {
			continue
		}
		parts[name] = true
		d.Parts = append(d.Parts, "/dev/"+name)
		used(name, str(p["MountPoint"]))
	}
	for _, c := range all {
		for _, store := range dicts(c["APFSPhysicalStores"]) {
			if !parts[str(store["DeviceIdentifier"])] {
				continue
			}
			for _, v := range dicts(c["APFSVolumes"]) {
				used(str(v["DeviceIdentifier"]), str(v["MountPoint"]))
				for _, s := range dicts(v["MountedSnapshots"]) {
					used(str(v["DeviceIdentifier"]), str(s["SnapshotMountPoint"]))
				}
			}
		}
	}
}

// wholeName reports whether an identifier is a whole disk's: disk4, not disk4s1.
func wholeName(id string) bool {
	n, ok := strings.CutPrefix(id, "disk")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

func dicts(v any) []map[string]any {
	list, _ := v.([]any)
	var out []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func str(v any) string { s, _ := v.(string); return s }
func num(v any) int64  { n, _ := v.(int64); return n }
func yes(v any) bool   { b, _ := v.(bool); return b }
