// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program that sees what leaves (bpf/egress.bpf.c), on a device's tc hook: by a tcx link where
// the kernel has those (6.6), else as a filter of the clsact qdisc. It goes with the XDP program,
// whose maps it reads; its own map is pinned beside them.
#pragma once

#include <string>

#include "core/image.h"
#include "kernel/attachment.h"
#include "util/result.h"

struct egress_bpf;

namespace anycast::egress {

// Is there something to do? Only where services of this node's own answer.
bool is_wanted(const Image &image);

// Puts it on the hook, or in an older one's stead, in one step; or takes it off where there is
// nothing to see. `renew`: also if it is there already.
Status follow(const std::string &pins, const std::string &interface, int ifindex, bool wanted,
	      const Dataplane &dataplane, const Limits &limits, bool renew);
Status take_off(const std::string &pins, int ifindex); // also if there is none

// What it means that `follow` has failed, as a warning.
std::string not_seen(const Error &error);

// What the kernel says: "tcx", "clsact", or "" for none of ours.
std::string look(const std::string &pins, int ifindex);

// Loaded, with the XDP program's maps; for tests.
class Loaded {
public:
	Loaded() = default;
	~Loaded();
	Loaded(Loaded &&other) noexcept;
	Loaded &operator=(Loaded &&) = delete;
	// pins: where its own map is, or shall be, pinned; "": nowhere.
	static Result<Loaded> load(const Dataplane &dataplane, const std::string &pins,
				   const Limits &limits = {});
	[[nodiscard]] int program() const;
	[[nodiscard]] int flows() const; // its map

private:
	egress_bpf *skeleton_ = nullptr;
};

} // namespace anycast::egress
