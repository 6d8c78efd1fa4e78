package site

import (
	"errors"

	"golang.org/x/sys/unix"
)

// unsafeKinds are the f_type numbers of statfs(2) that are refused. Unknown
// numbers are accepted: new local file systems appear more often than new
// networked ones.
var unsafeKinds = map[uint32]string{
	0x00006969: "NFS",
	0x0000517B: "SMB",
	0xFF534D42: "CIFS",
	0xFE534D42: "SMB2",
	0x0000564C: "NCP",
	0x01021997: "9P",
	0x65735546: "FUSE",
	0x5346414F: "AFS",
	0x6B414653: "kAFS",
	0x73757245: "Coda",
	0x00C36400: "Ceph",
	0x0BD00BD0: "Lustre",
	0x47504653: "GPFS",
	0x19830326: "BeeGFS",
	0xAAD7AAEA: "PanFS",
	0x7461636F: "OCFS2",
	0x01161970: "GFS2",
	0x20030528: "OrangeFS",
	0x786F4256: "VirtualBox shared folder",
	0xBACBACBC: "VMware shared folder",
	0x7C7C6673: "Parallels shared folder",
}

// unsafeFileSystem names the kind of path's file system when it is refused.
func unsafeFileSystem(path string) (string, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", err
		}
		// The field's width and sign differ between architectures; the number
		// itself has 32 bits.
		return unsafeKinds[uint32(st.Type)], nil
	}
}
