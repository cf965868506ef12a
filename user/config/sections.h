// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One function a section of the file, each beside the checks that belong to it.
#pragma once

#include <string_view>
#include <vector>

#include "config/reader.h"

namespace anycast {

// Called in this order: later ones check against what earlier ones have read.
bool read_node(TableReader &root, Config &config); // was there a hash_seed?
void read_paths(TableReader &root, Config &config);
void read_limits(TableReader &root, Config &config);
void read_tunnel(TableReader &root, Config &config); // after node: roles
void read_gtsm(TableReader &root, Config &config);   // after limits
void read_guard(TableReader &root, Config &config);
void read_icmp(TableReader &root, Config &config);
void read_services(TableReader &root, Config &config); // after limits: pools and VIPs
void read_bird(TableReader &root, Config &config);     // after services

BgpAttributes read_attributes(TableReader &reader); // [vips.bgp]

void read_host(TableReader &root, Config &config);
void read_agent(TableReader &root, Config &config);

// [[vips.checks]] or [[pools.checks]], of the VIP or pool that `owner` reads.
std::vector<CheckSpec> read_checks(TableReader &owner, bool of_vip);

bool usable_interface_name(std::string_view name); // as the kernel's dev_valid_name()
void check_name(Diagnostics &diagnostics, std::string_view what, const Placed<std::string> &name);
void check_unicast(Diagnostics &diagnostics, std::string_view what, const Placed<Address> &address);

} // namespace anycast
