// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What BIRD 2.0.12 answers, as it was recorded in a lab.
#pragma once

namespace anycast::test {

inline constexpr const char *kGreeting = "0001 BIRD 2.0.12 ready.\n";

inline constexpr const char *kShowStatus = "1000-BIRD 2.0.12\n"
					   "1011-Router ID is 10.9.0.2\n"
					   " Hostname is vm\n"
					   " Current server time is 2026-11-22 18:48:45.869\n"
					   " Last reboot on 2026-11-22 18:48:32.911\n"
					   " Last reconfiguration on 2026-11-22 18:48:32.911\n"
					   "0013 Daemon is up and running\n";

inline constexpr const char *kShowProtocols =
	R"(2002-Name       Proto      Table      State  Since         Info
1002-device1    Device     ---        up     18:48:32.911  
1006-
1002-anycast_xdp4 Static     master4    up     18:48:32.911  
1006-  Channel ipv4
     State:          UP
     Table:          master4
     Preference:     250
     Input filter:   ACCEPT
     Output filter:  REJECT
     Routes:         2 imported, 0 exported, 2 preferred
     Route change stats:     received   rejected   filtered    ignored   accepted
       Import updates:              2          0          0          0          2
 
1002-upstream   BGP        ---        up     18:48:37.109  Established   
1006-  BGP state:          Established
     Neighbor address: 10.9.0.1
     Neighbor AS:      64500
     Local AS:         64512
     Neighbor ID:      10.9.0.1
     Local capabilities
       Multiprotocol
         AF announced: ipv4 ipv6
       Graceful restart
     Session:          external AS4
     Source address:   10.9.0.2
     Hold timer:       6.016/9
     Keepalive timer:  1.058/3
   Channel ipv4
     State:          UP
     Table:          master4
     Preference:     100
     Input filter:   ACCEPT
     Output filter:  (unnamed)
     Routes:         3 imported, 2 exported, 3 preferred
     Route change stats:     received   rejected   filtered    ignored   accepted
       Import updates:              0          0          0          0          0
     BGP Next hop:   10.9.0.2
   Channel ipv6
     State:          UP
     Routes:         4 imported, 1 filtered, 5 exported, 0 preferred
     BGP Next hop:   ::
 
1002-up-2.a:b   BGP        ---        start  2026-11-22 18:48:32  Active        Socket: No route to host
1006-  BGP state:          Active
     Neighbor address: fe80::9%ve1
     Neighbor AS:      4200000001
     Local AS:         64512
     Connect delay:    4.227/5
     Last error:       Socket: No route to host
   Channel ipv4
     State:          DOWN
     Table:          master4
 
1002-up3        BGP        ---        down   2026-11-22  
1006-  BGP state:          Down
     Neighbor address: 10.9.0.8
     Neighbor AS:      64500
     Local AS:         64512
   Channel ipv4
     State:          DOWN
 
0000 
)";

inline constexpr const char *kShowBfd = R"(1020-bfd1:
 IP address                Interface  State      Since         Interval  Timeout
 10.9.0.9                  ve1        Down       18:48:32.933    1.000    0.000
 fe80::9                   ve1        Init       2026-11-22 18:48:33    0.300    0.900
 10.9.0.1                  ve1        Up         18:48:33.684    0.300    0.900
0000 
)";

inline constexpr const char *kShowRoutes = R"(1007-Table master4:
 198.51.100.81/32     blackhole [anycast_xdp4 18:56:52.075] * (250)
1008-	Type: static univ
1007-198.51.100.80/32     blackhole [anycast_xdp4 18:56:52.075] * (250)
1008-	Type: static univ
1012-	BGP.as_path: 64512
 	BGP.med: 5
 	BGP.local_pref: 120
 	BGP.community: (65535,0) (64512,100)
 	BGP.large_community: (64512, 1, 2)
 	anycast_xdp_prepend: 2
1007-                     unicast [edge2 18:48:37.912] (100) [AS64512i]
 	via 10.9.0.2 on ve0
1008-	Type: BGP univ
1012-	BGP.origin: IGP
 	BGP.next_hop: 10.9.0.2
1007-
 Table master6:
 2001:db8::80/128     unreachable [anycast_xdp6 19:06:28.175] * (200)
1008-	Type: static univ
0000 
)";

} // namespace anycast::test
