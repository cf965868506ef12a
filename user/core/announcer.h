// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Decides what is announced, VIP address by VIP address. Pure: the caller brings the facts and the
// clock (seconds since 1970), and carries out what comes back.
//
// In this order: an operator's order; health; the canary; the upstreams' damping; overload.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/announcement.h"
#include "core/check.h"
#include "core/control.h"
#include "core/damping.h"
#include "core/model.h"

namespace anycast {

// What is known of a VIP's address now.
struct VipFacts {
	Health health = Health::kUnknown; // of all checks of all VIPs with that address
	bool canary = false;
	bool others_announce = false; // evidence: a neighbour has a route for it that is not ours
	bool quiet = false;	      // the data path has seen no new flows for a while
	bool served = true; // this node's kernel does, or an interface steers it elsewhere
	bool operator==(const VipFacts &) const = default;
};

struct Decision {
	Reach reach = Reach::kWithdrawn;
	std::string reason; // "health: up", "order: kernel update", ...
	double wait = 0;    // seconds until damping lets it be announced; 0: it does not wait
	double since = 0;   // when `reach` last changed
	bool operator==(const Decision &) const = default;
};

class Announcer {
public:
	using DampingOf = std::function<Damping &(const Address &)>;

	struct Memory { // survives a restart, so that a restart sends no UPDATE
		std::map<Address, Decision> decisions;
		std::map<Address, Order> orders;
		std::optional<double> canaries_up_since;
		bool operator==(const Memory &) const = default;
	};

	Announcer(DampingOf damping, Memory memory = {})
		: damping_(std::move(damping)), memory_(std::move(memory))
	{
	}

	void order(const Address &vip, const Order &order); // kAuto takes one back

	// What shall be from now on. `facts` has every configured VIP address; others are forgotten
	// (and withdrawn).
	const std::map<Address, Decision> &decide(const std::map<Address, VipFacts> &facts,
						  const AgentOptions &options, bool overloaded,
						  double now);

	[[nodiscard]] const Memory &memory() const { return memory_; }

private:
	struct Wish {
		Reach reach;
		std::string reason;
		bool ask_damping = true;
	};
	[[nodiscard]] Wish wish_for(const Address &vip, const VipFacts &facts,
				    const AgentOptions &options, bool overloaded, double now) const;
	[[nodiscard]] std::optional<Wish> ordered(const Address &vip, const VipFacts &facts,
						  double now) const;
	[[nodiscard]] std::string canary_says(const VipFacts &facts, const AgentOptions &options,
					      Reach before, double now) const;
	void watch_canaries(const std::map<Address, VipFacts> &facts, double now);
	void follow(const Address &vip, Wish wish, double now);
	[[nodiscard]] Reach reach_of(const Address &vip) const;

	DampingOf damping_;
	Memory memory_;
	bool canaries_ = false;
};

} // namespace anycast
