// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the agent knows and must not lose with its process: STATE/agent.json. Without it a restart
// would begin by withdrawing everything.
#pragma once

#include <map>
#include <set>
#include <string>

#include "core/announcer.h"
#include "core/check.h"
#include "util/fd.h"
#include "util/result.h"

namespace anycast::agent {

struct Saved {
	Announcer::Memory announcer;
	std::map<std::string, Health> health; // of checks by id; unknown ones are left out
	std::set<std::string> downed; // backends that health took out: "INTERFACE/POOL/NAME"
	// BIRD's, for whoever has to withdraw while the configuration cannot be read; "": none.
	std::string bird_socket, bird_include;
	bool operator==(const Saved &) const = default;
};

std::string saved_to_text(const Saved &saved);
Result<Saved> saved_from_text(std::string_view text);

// An absent file is an empty Saved.
Result<Saved> load_saved(const std::string &path);
// Written beside it, synced, renamed: a full disk leaves the old one.
Status store_saved(const std::string &path, const Saved &saved);

// As after a withdrawal of everything: nothing is announced until checks have said so anew.
void forget_announced(Saved &saved);

// Held while the agent runs; a second agent is told the first one's process id.
Result<Fd> take_agent_lock(const std::string &path);

} // namespace anycast::agent
