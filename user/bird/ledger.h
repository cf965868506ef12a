// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The penalties of all VIPs, kept in a file: STATE/damping.json.
#pragma once

#include <map>
#include <string>

#include "core/address.h"
#include "core/damping.h"
#include "util/result.h"

namespace anycast::bird {

class Ledger {
public:
	// An absent file is an empty ledger; one that cannot be read is an error.
	static Result<Ledger> load(const std::string &path, const DampingProfile &profile);
	explicit Ledger(std::string path, const DampingProfile &profile)
		: path_(std::move(path)), profile_(&profile)
	{
	}

	Damping &of(const Address &vip) { return vips_.try_emplace(vip, *profile_).first->second; }
	[[nodiscard]] Status save(double now) const; // forgets what has decayed to nothing

private:
	std::string path_;
	const DampingProfile *profile_;
	std::map<Address, Damping> vips_;
};

} // namespace anycast::bird
