/** The release of Debian whose packages are in the image; the Dockerfile's base is of the same. */
export const DEBIAN_RELEASE = 'bookworm';

/**
 * What of Debian is in the image, and in which version: the C and C++ libraries that Node wants, and iptables with its libraries.
 * Where the mirror has only a newer one (a security update), that is taken, and the build says so: raise the version here then.
 */
export const DEBIAN_PACKAGES: { readonly [name: string]: string } = {
  libc6: '2.36-9+deb12u14',
  'libgcc-s1': '12.2.0-14+deb12u1',
  'libstdc++6': '12.2.0-14+deb12u1',
  libatomic1: '12.2.0-14+deb12u1',
  'gcc-12-base': '12.2.0-14+deb12u1', // the licence of the three above
  iptables: '1.8.9-2',
  libip4tc2: '1.8.9-2',
  libip6tc2: '1.8.9-2',
  libmnl0: '1.0.4-3',
  'libnetfilter-conntrack3': '1.0.9-3',
  libnfnetlink0: '1.0.2-2',
  libnftnl11: '1.2.4-2',
  libxtables12: '1.8.9-2',
};
