// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The penalty that an upstream router keeps for a prefix of ours (RFC 2439), so that we withdraw at
// once, and announce again only when one more flap could not get us suppressed. Pure: the caller
// brings the clock.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace anycast {

struct DampingProfile {
	std::string_view name;
	double withdrawal;   // what it costs
	double announcement; // ... again, after a withdrawal
	double change;	     // of attributes, such as a drain's community
	double half_life;    // seconds
	double suppress, reuse;
	double max_suppress; // seconds
	double tick;	     // the router's penalties decay in steps of so many seconds
};

std::span<const DampingProfile> damping_profiles();
const DampingProfile *find_damping_profile(std::string_view name); // nullptr if there is none

// What is kept over restarts.
struct DampingRecord {
	double penalty = 0;
	double at = 0; // when it was that: seconds since 1970
	bool operator==(const DampingRecord &) const = default;
};

class Damping {
public:
	using Seconds = double; // since 1970; steps back count as no time passed
	explicit Damping(const DampingProfile &profile, DampingRecord record = {})
		: profile_(&profile), record_(record)
	{
	}

	// What the upstream has been sent.
	void withdrawn(Seconds now);
	void announced(Seconds now);
	void changed(Seconds now);

	[[nodiscard]] double penalty(Seconds now) const; // at least what the router has
	// Seconds until announcing is safe: until then one more flap could suppress us. 0: now.
	[[nodiscard]] double wait_to_announce(Seconds now) const;
	// Seconds until an attribute may change so that a withdrawal soon after stays harmless.
	[[nodiscard]] double wait_to_change(Seconds now) const;
	// The router has probably suppressed us, and does not show us to anybody.
	[[nodiscard]] bool suppressed(Seconds now) const
	{
		return penalty(now) >= profile_->suppress;
	}

	[[nodiscard]] const DampingRecord &record() const { return record_; }
	[[nodiscard]] const DampingProfile &profile() const { return *profile_; }

private:
	void add(double points, Seconds now);
	[[nodiscard]] double wait_until_below(double limit, Seconds now) const;

	const DampingProfile *profile_;
	DampingRecord record_;
};

} // namespace anycast
