// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/damping.h"

#include <algorithm>
#include <cmath>

namespace anycast {

namespace {

// Our clock and the router's read of an event differ: by the way there, and by its own timers.
constexpr double kJitter = 2; // seconds

// RFC 2439's method; the numbers are the routers' documented defaults. RFC 7196 (and RIPE-580)
// raise only the threshold.
constexpr DampingProfile kProfiles[] = {
	{"rfc2439", 1000, 0, 500, 900, 2000, 750, 3600, 5},
	{"cisco", 1000, 0, 500, 900, 2000, 750, 3600, 5},
	{"frr", 1000, 0, 500, 900, 2000, 750, 3600, 5},
	{"juniper", 1000, 1000, 500, 900, 3000, 750, 3600, 5},
	{"rfc7196", 1000, 0, 500, 900, 6000, 750, 3600, 5},
};

} // namespace

std::span<const DampingProfile> damping_profiles()
{
	return kProfiles;
}

const DampingProfile *find_damping_profile(std::string_view name)
{
	const auto found = std::ranges::find(kProfiles, name, &DampingProfile::name);
	return found == std::end(kProfiles) ? nullptr : &*found;
}

// The router forgets the rest of a tick at every event, so what counts is whole ticks that have
// surely passed there.
double Damping::penalty(Seconds now) const
{
	const double passed = std::max(0.0, now - record_.at - kJitter);
	const double ticks = std::floor(passed / profile_->tick);
	return record_.penalty * std::exp2(-ticks * profile_->tick / profile_->half_life);
}

void Damping::add(double points, Seconds now)
{
	// Nothing grows beyond what decays to the reuse limit in the longest suppression (RFC 2439,
	// 4.2).
	const double ceiling =
		profile_->reuse * std::exp2(profile_->max_suppress / profile_->half_life);
	record_.penalty = std::min(penalty(now) + points, ceiling);
	record_.at = std::max(now, record_.at);
}

void Damping::withdrawn(Seconds now)
{
	add(profile_->withdrawal, now);
}

void Damping::announced(Seconds now)
{
	// A router has no history of what it has never seen withdrawn.
	if (record_.penalty > 0)
		add(profile_->announcement, now);
}

void Damping::changed(Seconds now)
{
	add(profile_->change, now);
}

double Damping::wait_until_below(double limit, Seconds now) const
{
	if (penalty(now) < limit)
		return 0;
	if (limit <= 0) // never: such a profile suppresses at the first flap
		return std::max(0.0, record_.at + profile_->max_suppress - now);
	const double needed = profile_->half_life * std::log2(record_.penalty / limit);
	double ticks = std::floor(needed / profile_->tick);
	do
		ticks++;
	while (record_.penalty * std::exp2(-ticks * profile_->tick / profile_->half_life) >= limit);
	return std::max(0.0, record_.at + kJitter + ticks * profile_->tick - now);
}

double Damping::wait_to_announce(Seconds now) const
{
	const double flap =
		(record_.penalty > 0 ? profile_->announcement : 0) + profile_->withdrawal;
	return wait_until_below(profile_->suppress - flap, now);
}

double Damping::wait_to_change(Seconds now) const
{
	return wait_until_below(profile_->suppress - profile_->change - profile_->withdrawal, now);
}

} // namespace anycast
