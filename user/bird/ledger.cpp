// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bird/ledger.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bird/include_file.h"

namespace anycast::bird {

namespace {

using nlohmann::json;

constexpr double kNothing = 1; // of a thousand for each flap

} // namespace

Result<Ledger> Ledger::load(const std::string &path, const DampingProfile &profile)
{
	Ledger ledger(path, profile);
	const auto text = read_file(path);
	if (!text)
		return tl::unexpected(text.error());
	if (text->empty())
		return ledger;
	const std::string hint = "remove it if the upstreams have seen no flap for an hour";
	try {
		const json document = json::parse(*text);
		for (const auto &[key, record] : document.at("vips").items()) {
			const auto vip = Address::parse(key);
			const double penalty = record.at("penalty").get<double>();
			if (!vip || !(penalty >= 0))
				return fail(Exit::kFailed, fmt::format("{}: not ours", path), hint);
			ledger.vips_.emplace(
				*vip, Damping(profile, {penalty, record.at("at").get<double>()}));
		}
	} catch (const json::exception &error) {
		return fail(Exit::kFailed, fmt::format("{}: {}", path, error.what()), hint);
	}
	return ledger;
}

Status Ledger::save(double now) const
{
	json vips = json::object();
	for (const auto &[vip, damping] : vips_)
		if (damping.penalty(now) >= kNothing)
			vips[vip.text()] = {{"penalty", damping.record().penalty},
					    {"at", damping.record().at}};
	return replace_file(path_, json{{"vips", std::move(vips)}}.dump(1, '\t') + "\n");
}

} // namespace anycast::bird
