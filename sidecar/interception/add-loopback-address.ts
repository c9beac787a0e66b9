import { getSystemErrorName } from 'node:util';
import { systemFunctions } from './system-functions.ts';

// linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
const AF_INET6 = 10;
const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
const SOCK_RAW_CLOEXEC = 0x80003;
const RTM_NEWADDR = 20;
const NLM_F_REQUEST_ACK_REPLACE_CREATE = 0x1 | 0x4 | 0x100 | 0x400;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 0x02;
const MSG_DONTWAIT = 0x40;

const HEADER_BYTES = 16;
const ADDRESS_MESSAGE_BYTES = 8;
const IPV6_BYTES = 16;
const ATTRIBUTE_BYTES = 4 + IPV6_BYTES;
const REQUEST_BYTES = HEADER_BYTES + ADDRESS_MESSAGE_BYTES + 2 * ATTRIBUTE_BYTES;
const ANSWER_BYTES = 1_024;
/** Both architectures that we are built for are; netlink is of the machine's own order. */
const LITTLE_ENDIAN = true;

/**
 * Gives loopback the IPv6 address `::LAST`, if it does not have it (rtnetlink(7)); needs the capability NET_ADMIN. `ip -6 address
 * replace` does the same, and would be one more program in the image.
 */
export function addLoopbackAddress(last: number): void {
  const system = systemFunctions({
    socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
    if_nametoindex: { arguments: ['string'], return: 'u32' },
    send: { arguments: ['i32', 'arraybuffer', 'u64', 'i32'], return: 'i64' },
    recv: { arguments: ['i32', 'arraybuffer', 'u64', 'i32'], return: 'i64' },
    close: { arguments: ['i32'], return: 'i32' },
  });
  const fd = system.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) throw new Error('cannot open a netlink socket');
  try {
    system.send(fd, addressRequest(system.if_nametoindex('lo'), last), BigInt(REQUEST_BYTES), 0);
    const answer = new ArrayBuffer(ANSWER_BYTES);
    const size = system.recv(fd, answer, BigInt(ANSWER_BYTES), MSG_DONTWAIT); // the kernel has answered when send returns
    if (size < HEADER_BYTES + 4) throw new Error('the kernel gave no answer by netlink');
    const error = new DataView(answer).getInt32(HEADER_BYTES, LITTLE_ENDIAN);
    if (error !== 0) throw new Error(`the kernel refuses the address ::${last} of lo: ${getSystemErrorName(error)}`);
  } finally {
    system.close(fd);
  }
}

function addressRequest(interfaceIndex: number, last: number): ArrayBuffer {
  const request = new ArrayBuffer(REQUEST_BYTES);
  const view = new DataView(request);
  view.setUint32(0, REQUEST_BYTES, LITTLE_ENDIAN);
  view.setUint16(4, RTM_NEWADDR, LITTLE_ENDIAN);
  view.setUint16(6, NLM_F_REQUEST_ACK_REPLACE_CREATE, LITTLE_ENDIAN);
  view.setUint8(HEADER_BYTES, AF_INET6);
  view.setUint8(HEADER_BYTES + 1, 8 * IPV6_BYTES);
  view.setUint8(HEADER_BYTES + 2, IFA_F_NODAD);
  view.setUint32(HEADER_BYTES + 4, interfaceIndex, LITTLE_ENDIAN);
  for (const [index, type] of [IFA_LOCAL, IFA_ADDRESS].entries()) {
    const start = HEADER_BYTES + ADDRESS_MESSAGE_BYTES + index * ATTRIBUTE_BYTES;
    view.setUint16(start, ATTRIBUTE_BYTES, LITTLE_ENDIAN);
    view.setUint16(start + 2, type, LITTLE_ENDIAN);
    view.setUint16(start + ATTRIBUTE_BYTES - 2, last); // of the address itself: network order
  }
  return request;
}
