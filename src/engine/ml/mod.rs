//! The operators of `ai.onnx.ml`, as onnxruntime answers them (its source and its answers are the reference; the ONNX
//! text leaves much open). Operators with a gradient become tract's own arithmetic, the others are one [`Own`] each.

mod encode;
pub(super) mod ensemble;
mod linear;
mod node;
mod parse;
mod post;
mod scale;
mod select;
mod svm;
mod trees;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{InferenceOp, TractResult};

pub(super) use node::Own;

/// The domain of these operators.
pub(super) const DOMAIN: &str = "ai.onnx.ml";

type Build = fn(&ParsingContext, &NodeProto) -> TractResult<Box<dyn InferenceOp>>;

/// Every operator that runs. What is not here works on maps (CastMap, DictVectorizer), which no case carries.
const OPERATORS: &[(&str, Build)] = &[
    ("ArrayFeatureExtractor", select::array_feature_extractor),
    ("Binarizer", scale::binarizer),
    ("CategoryMapper", encode::category_mapper),
    ("FeatureVectorizer", select::feature_vectorizer),
    ("Imputer", scale::imputer),
    ("LabelEncoder", encode::label_encoder),
    ("LinearClassifier", linear::classifier),
    ("LinearRegressor", linear::regressor),
    ("Normalizer", scale::normalizer),
    ("OneHotEncoder", encode::one_hot),
    ("SVMClassifier", svm::classifier),
    ("SVMRegressor", svm::regressor),
    ("Scaler", linear::scaler),
    ("TreeEnsemble", trees::ensemble),
    ("TreeEnsembleClassifier", trees::classifier),
    ("TreeEnsembleRegressor", trees::regressor),
    // A map of class to score is the row of scores; the class names are read from the file.
    ("ZipMap", select::zip_map),
];

/// Whether an operator of the domain runs.
pub(super) fn knows(operator: &str) -> bool {
    OPERATORS.iter().any(|(name, _)| *name == operator)
}

/// Teaches `onnx` these operators, in place of its own of the same names.
pub(super) fn register(onnx: &mut Onnx) {
    for (name, _) in OPERATORS {
        // tract keeps plain functions by name, so one function finds its row by the node's own name.
        onnx.op_register.insert(name, |context, node| {
            let row = OPERATORS.iter().find(|(name, _)| *name == node.op_type);
            let (_, build) = row.ok_or_else(|| anyhow::anyhow!("{} is not an operator of {DOMAIN}", node.op_type))?;
            Ok((build(context, node)?, Vec::new()))
        });
    }
}
