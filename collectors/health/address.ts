// Addresses that are never probed: the metadata services of clouds and the link-local ranges that contain them. Neither a
// probe URL nor a DNS answer may make the sidecar ask them for credentials.

import { BlockList, isIP } from 'node:net'

const BLOCKED = new BlockList()
BLOCKED.addSubnet('169.254.0.0', 16, 'ipv4') // link-local: AWS, Azure, Google, Oracle, DigitalOcean metadata
BLOCKED.addSubnet('fe80::', 10, 'ipv6') // link-local
BLOCKED.addAddress('fd00:ec2::254', 'ipv6') // AWS metadata over IPv6
BLOCKED.addAddress('fd20:ce::254', 'ipv6') // Google metadata over IPv6
BLOCKED.addAddress('100.100.100.200', 'ipv4') // Alibaba metadata
BLOCKED.addAddress('168.63.129.16', 'ipv4') // Azure's host endpoint
BLOCKED.addAddress('192.0.0.192', 'ipv4') // Oracle's older metadata
// NAT64 (RFC 6052) carries an IPv4 address in its last 32 bits; the same addresses behind it.
BLOCKED.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6')
BLOCKED.addAddress('64:ff9b::6464:64c8', 'ipv6')
BLOCKED.addAddress('64:ff9b::a83f:8110', 'ipv6')
BLOCKED.addAddress('64:ff9b::c000:c0', 'ipv6')

/** Whether an IP address must not be probed. IPv4 addresses mapped into IPv6 are checked as IPv4. */
export function blocked(address: string): boolean {
  const family = isIP(address)
  if (family === 0) return false
  return BLOCKED.check(address.replace(/%.*$/, ''), family === 6 ? 'ipv6' : 'ipv4')
}

/** Why an IP address must not be connected to. */
export function refusal(address: string): string | undefined {
  return blocked(address) ? `${address} is a link-local or metadata address` : undefined
}
